package rotator

import (
	"context"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/go-co-op/gocron/v2"

	"github.com/portsnare/portsnare"
)

// Bounds of waiting after a failed rotation or repair.
const (
	againFirst = 5 * time.Second
	againMax   = 5 * time.Minute
)

// Run rotates by the group's schedule and repairs in between, until ctx ends.
// A rotation that was cut short, or is overdue, is done at once. Failures are
// logged and tried again; only a schedule that cannot be is returned.
func (r *Rotator) Run(ctx context.Context) error {
	due := make(chan struct{}, 1)
	scheduler, err := r.schedule(due)
	if err != nil {
		return err
	}
	scheduler.Start()
	defer scheduler.Shutdown() //nolint:errcheck // its jobs only signal and cannot hang

	repair := time.NewTicker(r.group.Repair)
	defer repair.Stop()
	again := time.NewTimer(0) // the first attempt, and after a failure the next
	defer again.Stop()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = againFirst, againMax

	attempt := r.catchUp
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-due:
			attempt = r.Rotate
		case <-repair.C:
			attempt = r.Repair
		case <-again.C:
		}
		err := attempt(ctx)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			next := wait.NextBackOff() + portsnare.RetryAfterOf(err)
			r.log.Error(msgFailed, keyError, err, keyHint, portsnare.HintOf(err), keyAgainIn, next)
			again.Reset(next)
		default:
			wait.Reset()
			again.Stop()
		}
	}
}

// catchUp does what was left undone while no controller ran.
func (r *Rotator) catchUp(ctx context.Context) error {
	s, err := loadState(ctx, r.store, r.group.Name)
	if err != nil {
		return err
	}
	never := s.Current.Generation == 0
	late := r.group.Schedule.Cron == "" && time.Since(s.RotatedAt) > r.group.Schedule.Max
	if never || late || s.Pending != nil {
		return r.Rotate(ctx)
	}
	return r.Repair(ctx)
}

// schedule returns a scheduler whose one job signals due.
func (r *Rotator) schedule(due chan<- struct{}) (gocron.Scheduler, error) {
	scheduler, err := gocron.NewScheduler()
	if err != nil {
		return nil, fmt.Errorf("make scheduler: %w", err)
	}
	signal := func() {
		select {
		case due <- struct{}{}:
		default: // one is waiting already
		}
	}
	job, err := scheduler.NewJob(r.group.Schedule.definition(), gocron.NewTask(signal))
	if err != nil {
		return nil, &portsnare.Error{Kind: portsnare.Invalid, Op: "schedule", Subject: "group " + r.group.Name, Err: err,
			Hint: "correct the group's `rotate`"}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen.next = job.NextRun
	return scheduler, nil
}

func (s Schedule) definition() gocron.JobDefinition {
	switch {
	case s.Cron != "":
		return gocron.CronJob(s.Cron, false)
	case s.Min < s.Max:
		return gocron.DurationRandomJob(s.Min, s.Max)
	}
	return gocron.DurationJob(s.Max)
}
