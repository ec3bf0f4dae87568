// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A link carries TCP connections to the API server, well or badly. It does not
// look into them, so the server's certificate stays valid.
type link struct {
	address string
	server  string
	pace    atomic.Int64 // bytes a second each way and connection, 0 for no limit

	mu       sync.Mutex
	listener net.Listener // nil while shut
	cables   map[*cable]struct{}
	deaf     bool         // new connections are accepted and carry nothing
	length   func() int64 // how much a new connection carries before it is cut, nil for any amount
	carrying sync.WaitGroup
}

func newLink(t *testing.T, server string) *link {
	t.Helper()
	l := &link{address: "127.0.0.1:0", server: server, cables: map[*cable]struct{}{}}
	l.open(t)
	t.Cleanup(l.shut)
	return l
}

// open listens, at the same address as ever.
func (l *link) open(t *testing.T) {
	t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.listener, l.address = listener, listener.Addr().String()
	l.mu.Unlock()
	l.carrying.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			l.carrying.Go(func() { l.carry(conn.(*net.TCPConn)) })
		}
	})
}

// shut ends all connections and refuses new ones, like an address without a listener.
func (l *link) shut() {
	l.mu.Lock()
	if l.listener != nil {
		l.listener.Close()
		l.listener = nil
	}
	l.mu.Unlock()
	l.reset()
	l.carrying.Wait()
}

// reset ends all connections with an RST; new ones are welcome.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.cables {
		c.reset()
	}
}

// swallow lets the connections that there are carry nothing any more, as when a
// firewall has forgotten them. Until hear is called that goes for new ones too.
func (l *link) swallow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = true
	for c := range l.cables {
		c.deaf.Store(true)
	}
}

func (l *link) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf = false
}

// shorten cuts each connection, those to come included, after it has carried
// what length says to the client; nil is for no more cuts.
func (l *link) shorten(length func() int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.length = length
	for c := range l.cables {
		c.shorten(length)
	}
}

func (l *link) carry(client *net.TCPConn) {
	conn, err := net.Dial("tcp", l.server)
	if err != nil {
		_ = client.SetLinger(0)
		client.Close()
		return
	}
	c := &cable{link: l, client: client, server: conn.(*net.TCPConn)}
	if !l.keep(c) {
		c.reset()
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() { c.up() })
	c.down()
	copying.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cables, c)
}

func (l *link) keep(c *cable) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil {
		return false
	}
	c.deaf.Store(l.deaf)
	c.shorten(l.length)
	l.cables[c] = struct{}{}
	return true
}

// A cable is one connection of the link.
type cable struct {
	link           *link
	client, server *net.TCPConn
	deaf           atomic.Bool
	left           atomic.Int64 // bytes to the client before it is cut
	short          atomic.Bool  // left counts
}

func (c *cable) shorten(length func() int64) {
	if length != nil {
		c.left.Store(length())
	}
	c.short.Store(length != nil)
}

func (c *cable) reset() {
	_ = c.client.SetLinger(0)
	c.client.Close()
	c.server.Close()
}

func (c *cable) up() { c.copy(c.server, c.client, func(p []byte) []byte { return p }) }

func (c *cable) down() { c.copy(c.client, c.server, c.trim) }

// trim returns the part of p that may still be carried. If it is shorter than p, the link
// ends, most likely in the middle of a frame.
func (c *cable) trim(p []byte) []byte {
	if !c.short.Load() {
		return p
	}
	left := c.left.Add(-int64(len(p)))
	return p[:max(0, min(len(p), len(p)+int(left)))]
}

// copy carries until either side has ended, and ends both.
func (c *cable) copy(to, from *net.TCPConn, trim func([]byte) []byte) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		if c.deaf.Load() {
			continue
		}
		if pace := c.link.pace.Load(); pace > 0 {
			time.Sleep(time.Duration(n) * time.Second / time.Duration(pace))
		}
		carried := trim(buffer[:n])
		if _, err := to.Write(carried); err != nil || len(carried) < n {
			return
		}
	}
}
