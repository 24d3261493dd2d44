package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	oklog "github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/portsnare/portsnare"
	"github.com/portsnare/portsnare/cmd/internal/cli"
	"github.com/portsnare/portsnare/cmd/internal/config"
)

func newRun(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run the controller",
		Long: `Run runs the controller until it is stopped by SIGINT or SIGTERM: it serves the
agents and rotates the traps of every group. It resumes what an earlier run left
undone. SIGHUP is ignored and logged.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			log := cli.NewLogger(c.ErrOrStderr(), cfg.Log.Level, cfg.Log.JSON)
			defer cli.LogHangups(c.Context(), log)()
			for _, w := range cfg.Warnings {
				log.Warn("the configuration is valid, but", "at", w.Position(), "key", w.Key, "warning", w.Message)
			}
			return runController(c.Context(), cfg, log)
		},
	}
}

// runController runs everything until ctx ends or a part of it fails.
func runController(ctx context.Context, cfg config.Config, log *slog.Logger) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	c, err := newController(ctx, cfg, log, registry)
	if err != nil {
		return err
	}
	defer c.hub.Close()
	if err := c.serve(); err != nil {
		return err
	}
	var actors oklog.Group
	add := func(task func(context.Context) error) {
		ctx, cancel := context.WithCancel(ctx)
		actors.Add(func() error { return task(ctx) }, func(error) { cancel() })
	}
	for _, name := range c.names {
		add(c.rotators[name].Run)
	}
	for _, retired := range c.retired {
		add(retired.Run)
	}
	add(c.countProblems)
	add(c.banLog.run)
	if cfg.Metrics != "" {
		listener, err := net.Listen("tcp", cfg.Metrics)
		if err != nil {
			return &portsnare.Error{Kind: portsnare.Unavailable, Op: "serve metrics on", Subject: cfg.Metrics, Err: err,
				Hint: "choose another `metrics` address in the configuration"}
		}
		add(func(ctx context.Context) error { return serveMetrics(ctx, listener, registry) })
	}
	log.Info("controller is ready", "listen", c.hub.Addr(), "groups", len(c.names), "version", cli.Version())
	daemon.SdNotify(false, daemon.SdNotifyReady) //nolint:errcheck // no systemd, nobody to tell
	return actors.Run()
}

// serveMetrics answers /metrics until ctx ends.
func serveMetrics(ctx context.Context, listener net.Listener, registry *prometheus.Registry) error {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
