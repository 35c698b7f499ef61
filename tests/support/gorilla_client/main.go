// A client of github.com/gorilla/websocket: prints each text message as a line, and leaves after the one that says "published".
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	if err := follow(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func follow(url, token, subscribe string) error {
	dialer := websocket.Dialer{
		Subprotocols:      []string{"inkwire.v1", "token." + token},
		EnableCompression: true,
		HandshakeTimeout:  10 * time.Second,
	}
	conn, _, err := dialer.Dial(url, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if err := conn.WriteMessage(websocket.TextMessage, []byte(subscribe)); err != nil {
		return err
	}
	for {
		kind, message, err := conn.ReadMessage()
		if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			return nil
		}
		if err != nil {
			return err
		}
		if kind != websocket.TextMessage {
			return fmt.Errorf("a message of kind %d", kind)
		}
		out.Write(message)
		out.WriteByte('\n')
		out.Flush()
		if err := conn.WriteControl(websocket.PingMessage, []byte("and you?"), time.Now().Add(time.Second)); err != nil {
			return err
		}
		if bytes.Contains(message, []byte(`"name":"post.published"`)) {
			bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
			if err := conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)); err != nil {
				return err
			}
		}
	}
}
