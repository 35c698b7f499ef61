//go:build tools

// Package tools names the program that fanout.py builds here; nothing of it is copied.
package tools

import _ "github.com/centrifugal/centrifugo/v5"
