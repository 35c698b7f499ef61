// Command ferretdb is a throwaway server for tests that speaks MongoDB's wire protocol over SQLite.
//
// It embeds FerretDB 1.x. FerretDB's own command cannot be had by `go install` because its version file is generated
// and is not part of the module; the embeddable package does not need that file. It is not MongoDB: no transactions,
// no sessions, no collation, no array filters, no partial or expiring indexes; write and read concern are ignored.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ferretdb:", err)
		os.Exit(1)
	}
}

// run serves until SIGTERM or SIGINT, then closes its listener and its databases.
func run() error {
	addr := flag.String("addr", "127.0.0.1:0", "TCP address to listen on; port 0 takes a free one")
	dir := flag.String("dir", "", "folder for the SQLite files; made if missing (required)")
	verbose := flag.Bool("verbose", false, "log every message, not errors alone")
	flag.Parse()
	if *dir == "" {
		return fmt.Errorf("-dir is required")
	}
	data, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	level := slog.LevelError
	if *verbose {
		level = slog.LevelDebug
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve(ctx, *addr, data, logger)
}

// serve prints one line, "ready mongodb://HOST:PORT/", to standard output as soon as clients can connect.
func serve(ctx context.Context, addr, data string, logger *slog.Logger) error {
	public, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer public.Close()
	database, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    logger,
		Handler:   "sqlite",
		SQLiteURL: "file:" + filepath.ToSlash(data) + "/",
	})
	if err != nil {
		return err
	}
	go func() {
		inner, err := url.Parse(database.MongoDBURI()) // waits until Run has opened the listener
		if err != nil {
			logger.Error("address of the database", "error", err)
			return
		}
		fmt.Printf("ready mongodb://%s/\n", public.Addr())
		serializer := &serializer{inner: inner.Host, logger: logger}
		serializer.accept(public)
	}()
	return database.Run(ctx)
}
