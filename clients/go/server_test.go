package quarterdeck

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// server is a real server with a data directory of its own.
type server struct {
	t         *testing.T
	directory string
	listen    string
	process   *exec.Cmd
	address   string
}

// startServer starts the binary that QUARTERDECK_TEST_SERVER names.
func startServer(t *testing.T) *server {
	t.Helper()
	if os.Getenv("QUARTERDECK_TEST_SERVER") == "" {
		t.Skip("QUARTERDECK_TEST_SERVER names no server")
	}
	// Short: a unix socket's path has a bound of its own.
	directory, err := os.MkdirTemp("", "qd")
	if err != nil {
		t.Fatal(err)
	}
	server := &server{t: t, directory: directory, listen: "127.0.0.1:0"}
	server.start()
	t.Cleanup(func() {
		server.kill()
		os.RemoveAll(directory)
	})
	return server
}

func (server *server) start() {
	server.t.Helper()
	server.process = exec.Command(os.Getenv("QUARTERDECK_TEST_SERVER"), "serve",
		"--listen", server.listen, "--data-dir", server.directory)
	server.process.Stderr = io.Discard
	output, err := server.process.StdoutPipe()
	if err != nil {
		server.t.Fatal(err)
	}
	if err := server.process.Start(); err != nil {
		server.t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		server.t.Fatalf("the server did not start: %v", err)
	}
	server.address = strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
	server.listen = strings.TrimPrefix(server.address, "http://")
}

// kill ends the server as `kill -9` does.
func (server *server) kill() {
	server.process.Process.Kill()
	server.process.Wait()
}

func (server *server) key() string {
	server.t.Helper()
	key, err := os.ReadFile(filepath.Join(server.directory, "admin.key"))
	if err != nil {
		server.t.Fatal(err)
	}
	return strings.TrimSpace(string(key))
}

// client is one of the server, or of what stands before it.
func (server *server) client(address string, options ...Option) *Client {
	server.t.Helper()
	client, err := New(address, append([]Option{WithKey(server.key())}, options...)...)
	if err != nil {
		server.t.Fatal(err)
	}
	server.t.Cleanup(func() { client.Close() })
	return client
}

// bounded is a context that no test waits longer for.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// proxy stands before a server and cuts connections, or makes them silent.
type proxy struct {
	listener net.Listener
	to       string
	mutex    sync.Mutex
	open     map[net.Conn]bool
	// Bytes of a connection that began before stay where they are; nil where none are held.
	held    chan struct{}
	running sync.WaitGroup
}

func startProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	proxy := &proxy{listener: listener, to: to, open: map[net.Conn]bool{}, held: make(chan struct{})}
	proxy.running.Go(proxy.accept)
	t.Cleanup(func() {
		listener.Close()
		proxy.cut()
		proxy.running.Wait()
	})
	return proxy
}

func (proxy *proxy) address() string { return "http://" + proxy.listener.Addr().String() }

func (proxy *proxy) accept() {
	for {
		near, err := proxy.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", proxy.to)
		if err != nil {
			near.Close()
			continue
		}
		proxy.mutex.Lock()
		proxy.open[near], proxy.open[far] = true, true
		held := proxy.held
		proxy.mutex.Unlock()
		proxy.running.Go(func() { proxy.pump(near, far, held) })
		proxy.running.Go(func() { proxy.pump(far, near, held) })
	}
}

func (proxy *proxy) pump(from, to net.Conn, held chan struct{}) {
	buffer := make([]byte, 4096)
	for {
		count, err := from.Read(buffer)
		if err != nil {
			break
		}
		select {
		case <-held:
			continue
		default:
		}
		if _, err := to.Write(buffer[:count]); err != nil {
			break
		}
	}
	from.Close()
	to.Close()
	proxy.mutex.Lock()
	delete(proxy.open, from)
	delete(proxy.open, to)
	proxy.mutex.Unlock()
}

// cut resets every connection.
func (proxy *proxy) cut() {
	proxy.mutex.Lock()
	defer proxy.mutex.Unlock()
	for connection := range proxy.open {
		connection.(*net.TCPConn).SetLinger(0)
		connection.Close()
	}
}

// silence swallows what connections of before say from now on; new ones work.
func (proxy *proxy) silence() {
	proxy.mutex.Lock()
	defer proxy.mutex.Unlock()
	close(proxy.held)
	proxy.held = make(chan struct{})
}
