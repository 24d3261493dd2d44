package hub

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

// The streams beside [portsnare.OrderStream], and the buckets.
const (
	reportStream = "PORTSNARE_REPORTS"
	hitStream    = "PORTSNARE_HITS"
	banStream    = "PORTSNARE_BANS"
	stateBucket  = "PORTSNARE_STATE"
	hostBucket   = "PORTSNARE_HOSTS"
)

// How much is kept of what happened.
const (
	hitAge   = 7 * 24 * time.Hour
	hitBytes = 256 << 20
	banAge   = 90 * 24 * time.Hour
	banBytes = 64 << 20

	// Bounds of one message from a host.
	reportSize = 1 << 20
	banSize    = 64 << 10
	hitSize    = 4 << 10

	readBatch = 500
)

// streamConfigs returns the streams of the hub. Those that hosts write to
// acknowledge nothing, so that no answer goes where a host wants it to go.
func streamConfigs() []jetstream.StreamConfig {
	const any = "*"
	return []jetstream.StreamConfig{{
		Name:              portsnare.OrderStream,
		Subjects:          []string{portsnare.OrderSubject(any)},
		MaxMsgsPerSubject: 1, // the latest order is the only one that matters
		AllowDirect:       true,
		RePublish: &jetstream.RePublish{
			Source:      portsnare.OrderSubject(any),
			Destination: portsnare.PushSubject("{{wildcard(1)}}"),
		},
	}, {
		Name:              reportStream,
		Subjects:          []string{portsnare.ReportSubject(any)},
		MaxMsgsPerSubject: 1,
		MaxMsgSize:        reportSize,
		NoAck:             true,
		PersistMode:       jetstream.AsyncPersistMode,
	}, {
		Name:        hitStream,
		Subjects:    []string{portsnare.HitsSubject(any)},
		MaxAge:      hitAge,
		MaxBytes:    hitBytes,
		MaxMsgSize:  hitSize,
		NoAck:       true,
		PersistMode: jetstream.AsyncPersistMode,
	}, {
		Name:       banStream,
		Subjects:   []string{portsnare.BansSubject(any)},
		MaxAge:     banAge,
		MaxBytes:   banBytes,
		MaxMsgSize: banSize,
		NoAck:      true,
	}}
}

// stores is what the hub keeps on disk.
type stores struct {
	js           jetstream.JetStream
	orders       jetstream.Stream
	reports      jetstream.Stream
	bans         jetstream.Stream
	state, hosts jetstream.KeyValue
}

// openStores makes what is missing and brings what is there up to date.
func openStores(ctx context.Context, js jetstream.JetStream) (*stores, error) {
	s := &stores{js: js}
	streams := map[string]*jetstream.Stream{
		portsnare.OrderStream: &s.orders, reportStream: &s.reports, banStream: &s.bans, hitStream: new(jetstream.Stream),
	}
	var err error
	for _, config := range streamConfigs() {
		if *streams[config.Name], err = js.CreateOrUpdateStream(ctx, config); err != nil {
			return nil, err
		}
	}
	if s.state, err = openBucket(ctx, js, stateBucket); err != nil {
		return nil, err
	}
	s.hosts, err = openBucket(ctx, js, hostBucket)
	return s, err
}

func openBucket(ctx context.Context, js jetstream.JetStream, name string) (jetstream.KeyValue, error) {
	return js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 1, Storage: jetstream.FileStorage})
}

// read hands the messages that a stream holds now to each, oldest first.
func read(ctx context.Context, stream jetstream.Stream, each func(jetstream.Msg)) error {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: time.Minute, // should the deletion below not arrive
		MemoryStorage:     true,
	})
	if err != nil {
		return err
	}
	defer stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
	for ctx.Err() == nil {
		batch, err := consumer.FetchNoWait(readBatch)
		if err != nil {
			return err
		}
		n := 0
		for msg := range batch.Messages() {
			each(msg)
			n++
		}
		if batch.Error() != nil || n == 0 {
			return batch.Error()
		}
	}
	return ctx.Err()
}
