package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/portsnare/portsnare"
)

// The streams beside [portsnare.OrderStream], and the buckets.
const (
	reportStream   = "PORTSNARE_REPORTS"
	evidenceStream = "PORTSNARE_EVIDENCE"
	stateBucket    = "PORTSNARE_STATE"
	hostBucket     = "PORTSNARE_HOSTS"

	// Subjects of what the hub keeps of a host's words. Only the hub speaks there.
	keptReport = "portsnare.kept.report."
	keptHits   = "portsnare.kept.hits."
	keptBans   = "portsnare.kept.bans."
)

// Streams of the first version, to which hosts wrote themselves.
var oldStreams = []string{"PORTSNARE_HITS", "PORTSNARE_BANS"}

// The history of one host is at most 1 MiB: 256 messages of hits and 256 of bans,
// of at most 2 KiB each. The oldest give way, and only those of the same host.
const (
	keptMessages = 256
	keptSize     = 2 << 10
	keptAge      = 90 * 24 * time.Hour
)

// Files beside the store that hold copies of the buckets.
const (
	hostsCopy = "hosts.json"
	stateCopy = "state.json"
)

const (
	readBatch = 500
	// readTime bounds the wait for the next messages of a stream that has some.
	readTime = 5 * time.Second
)

func streamConfigs() []jetstream.StreamConfig {
	const any = "*"
	return []jetstream.StreamConfig{{
		Name:               portsnare.OrderStream,
		Subjects:           []string{portsnare.OrderSubject(any)},
		MaxMsgsPerSubject:  1, // the latest order is the only one that matters
		AllowDirect:        true,
		AllowAtomicPublish: true,
		RePublish: &jetstream.RePublish{
			Source:      portsnare.OrderSubject(any),
			Destination: portsnare.PushSubject("{{wildcard(1)}}"),
		},
	}, {
		Name:              reportStream,
		Subjects:          []string{keptReport + any},
		MaxMsgsPerSubject: 1,
		PersistMode:       jetstream.AsyncPersistMode,
	}, {
		Name:              evidenceStream,
		Subjects:          []string{keptHits + any, keptBans + any},
		MaxMsgsPerSubject: keptMessages,
		MaxMsgSize:        keptSize,
		MaxAge:            keptAge,
		NoAck:             true,
		PersistMode:       jetstream.AsyncPersistMode,
	}}
}

// stores is what the hub keeps on disk.
type stores struct {
	js           jetstream.JetStream
	orders       jetstream.Stream
	reports      jetstream.Stream
	evidence     jetstream.Stream
	state, hosts *vault
}

// openStores makes what is missing and brings what is there up to date.
func openStores(ctx context.Context, js jetstream.JetStream, dir string, log *slog.Logger) (*stores, error) {
	s := &stores{js: js}
	streams := map[string]*jetstream.Stream{
		portsnare.OrderStream: &s.orders, reportStream: &s.reports, evidenceStream: &s.evidence,
	}
	var err error
	for _, config := range streamConfigs() {
		if *streams[config.Name], err = js.CreateOrUpdateStream(ctx, config); err != nil {
			return nil, fmt.Errorf("open the stream %s: %w", config.Name, err)
		}
	}
	for _, name := range oldStreams {
		if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
	}
	if s.state, err = openVault(ctx, js, stateBucket, filepath.Join(dir, stateCopy), log); err != nil {
		return nil, err
	}
	s.hosts, err = openVault(ctx, js, hostBucket, filepath.Join(dir, hostsCopy), log)
	return s, err
}

// read hands the messages that a stream holds to each, oldest first. It reads to
// the last of them or fails: an answer that does not come is no end.
func read(ctx context.Context, stream jetstream.Stream, each func(jetstream.Msg)) error {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: time.Minute, // should the deletion below not arrive
		MemoryStorage:     true,
	})
	if err != nil {
		return err
	}
	name := consumer.CachedInfo().Name
	defer stream.DeleteConsumer(context.WithoutCancel(ctx), name) //nolint:errcheck // it ends by itself
	for left := consumer.CachedInfo().NumPending; left > 0; {
		before := left
		batch, err := consumer.Fetch(int(min(left, readBatch)), jetstream.FetchMaxWait(readTime))
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			meta, err := msg.Metadata()
			if err != nil {
				return err
			}
			left = meta.NumPending
			each(msg)
		}
		if err := errors.Join(batch.Error(), ctx.Err()); err != nil {
			return err
		}
		if left >= before {
			return errIncomplete(stream.CachedInfo().Config.Name, left)
		}
	}
	return nil
}

// errShort: a stream has fewer messages than it says.
var errShort = errors.New("messages of it are damaged or missing")

func errIncomplete(stream string, left uint64) error {
	return &portsnare.Error{
		Kind: portsnare.Invalid, Op: "read", Subject: stream, Err: fmt.Errorf("%w, %d at least", errShort, left),
		Hint: "restore a backup of the state directory",
	}
}

// readWhatThereIs is read for a stream that the controller can do without: that
// some of it is damaged is said, and no error.
func (h *Hub) readWhatThereIs(ctx context.Context, stream jetstream.Stream, each func(jetstream.Msg)) error {
	err := read(ctx, stream, each)
	if errors.Is(err, errShort) {
		h.log.Warn(msgStreamDamaged, keyError, err)
		return nil
	}
	return err
}
