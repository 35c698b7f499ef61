package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
)

// maxMessageBytes is MongoDB's own limit for one wire message.
const maxMessageBytes = 48_000_000

const (
	headerBytes    = 16
	opMsg          = 2013
	flagMoreToCome = 1 << 1
)

var errNoReply = errors.New("unacknowledged writes (w=0) are not served here")

// serializer lets one command at a time reach the database, whichever connection it came from.
//
// FerretDB 1.x updates a document by reading and then writing it, without a transaction, so two writers can both
// win one compare-and-set. MongoDB's updates of one document are atomic; one command at a time gives the same
// promise, at the price of speed.
type serializer struct {
	inner  string // HOST:PORT of the database itself
	logger *slog.Logger
	turn   sync.Mutex
}

// accept serves clients until the listener is closed.
func (s *serializer) accept(public net.Listener) {
	for {
		client, err := public.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.logger.Error("accept", "error", err)
			}
			return
		}
		go s.serve(client)
	}
}

// serve relays one client's messages; both connections end together.
func (s *serializer) serve(client net.Conn) {
	defer client.Close()
	database, err := net.Dial("tcp", s.inner)
	if err != nil {
		s.logger.Error("connect to the database", "error", err)
		return
	}
	defer database.Close()
	for {
		request, err := readMessage(client)
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.logger.Debug("client", "error", err)
			}
			return
		}
		reply, err := s.ask(database, request)
		if err != nil {
			s.logger.Error("relay", "error", err)
			return
		}
		if _, err := client.Write(reply); err != nil {
			return
		}
	}
}

// ask sends one request and reads its reply while no other request is under way.
func (s *serializer) ask(database net.Conn, request []byte) ([]byte, error) {
	if wantsNoReply(request) {
		return nil, errNoReply
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if _, err := database.Write(request); err != nil {
		return nil, err
	}
	return readMessage(database)
}

// wantsNoReply tells whether the client will not wait for an answer, which would break the turn-taking.
func wantsNoReply(message []byte) bool {
	if len(message) < headerBytes+4 || binary.LittleEndian.Uint32(message[12:16]) != opMsg {
		return false
	}
	return binary.LittleEndian.Uint32(message[16:20])&flagMoreToCome != 0
}

// readMessage reads one whole wire message: a length of four bytes, little endian, that counts itself.
func readMessage(from io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(from, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size < headerBytes || size > maxMessageBytes {
		return nil, fmt.Errorf("message of %d bytes, allowed are %d to %d", size, headerBytes, maxMessageBytes)
	}
	message := make([]byte, size)
	copy(message, length[:])
	_, err := io.ReadFull(from, message[4:])
	return message, err
}
