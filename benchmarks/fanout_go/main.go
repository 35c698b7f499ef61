// What a plain fan-out in Go does, for fanout.py: gorilla/websocket, one PreparedMessage an event, written to each reader.
//
//	fanout_go PORT INGEST_PORT
//
// Readers say in the request line which topic they follow (?topic=7). Events come as lines "<topic> <payload>" on the
// other port. No token, no broker, no state; who does not keep up is waited for.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
)

const (
	maxTopics = 5000
	maxLine   = 1 << 16
)

type topic struct {
	sync.Mutex
	readers []*websocket.Conn
}

func (t *topic) add(reader *websocket.Conn) {
	t.Lock()
	defer t.Unlock()
	t.readers = append(append([]*websocket.Conn(nil), t.readers...), reader)
}

func (t *topic) remove(reader *websocket.Conn) {
	t.Lock()
	defer t.Unlock()
	kept := make([]*websocket.Conn, 0, len(t.readers))
	for _, other := range t.readers {
		if other != reader {
			kept = append(kept, other)
		}
	}
	t.readers = kept
}

func (t *topic) now() []*websocket.Conn {
	t.Lock()
	defer t.Unlock()
	return t.readers
}

var (
	topics   [maxTopics]topic
	upgrader = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512}
)

func serve(writer http.ResponseWriter, request *http.Request) {
	number, err := strconv.Atoi(request.URL.Query().Get("topic"))
	if err != nil || number < 0 || number >= maxTopics {
		http.Error(writer, "which topic?", http.StatusBadRequest)
		return
	}
	reader, err := upgrader.Upgrade(writer, request, nil)
	if err != nil {
		return
	}
	defer reader.Close()
	if reader.WriteMessage(websocket.TextMessage, []byte(`{"type":"live","seq":0}`)) != nil {
		return
	}
	topics[number].add(reader)
	defer topics[number].remove(reader)
	for {
		if _, _, err := reader.NextReader(); err != nil {
			return
		}
	}
}

func fanOut(line []byte) {
	name, payload, found := bytes.Cut(line, []byte(" "))
	number, err := strconv.Atoi(string(name))
	if !found || err != nil || number < 0 || number >= maxTopics {
		return
	}
	message, err := websocket.NewPreparedMessage(websocket.TextMessage, bytes.Clone(payload))
	if err != nil {
		log.Fatal(err)
	}
	for _, reader := range topics[number].now() {
		_ = reader.WritePreparedMessage(message) // who is going is taken out by its own goroutine
	}
}

func take(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		lines := bufio.NewScanner(connection)
		lines.Buffer(make([]byte, maxLine), maxLine)
		for lines.Scan() {
			fanOut(lines.Bytes())
		}
		connection.Close()
	}
}

func main() {
	ingest, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go take(ingest)
	http.HandleFunc("/ws", serve)
	fmt.Println("ready")
	log.Fatal(http.Serve(listener, nil))
}
