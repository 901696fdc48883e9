package quarterdeck

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if binary() == "" {
		// Examples can't skip themselves.
		flag.Parse()
		flag.Set("test.skip", "^Example")
		os.Exit(leaks(m.Run()))
	}
	server, err := newServer()
	if err != nil {
		log.Fatal(err)
	}
	// The server of the examples, which name none.
	os.Setenv("QUARTERDECK_ADDR", server.address)
	os.Setenv("QUARTERDECK_KEY", server.key())
	code := leaks(m.Run())
	server.remove()
	os.Exit(code)
}

// leaks is the exit code of a run after which no goroutine of the package or of gRPC may be left.
func leaks(code int) int {
	if code != 0 {
		return code
	}
	var left []string
	for range 100 {
		left = goroutines()
		if len(left) == 0 {
			return 0
		}
		// What was closed last takes a moment to end.
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintf(os.Stderr, "goroutines are left:\n%s\n", strings.Join(left, "\n\n"))
	return 1
}

// goroutines are those that run code of the package or of gRPC, but for the one that asks.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var found []string
	for _, stack := range strings.Split(string(stacks), "\n\n")[1:] {
		if strings.Contains(stack, "quarterdeck") || strings.Contains(stack, "google.golang.org/grpc") {
			found = append(found, stack)
		}
	}
	return found
}

// binary is the server that tests start.
func binary() string { return os.Getenv("QUARTERDECK_TEST_SERVER") }

// server is a real server with a data directory of its own.
type server struct {
	directory string
	listen    string
	process   *exec.Cmd
	address   string
}

func newServer() (*server, error) {
	directory, err := os.MkdirTemp("", "quarterdeck")
	if err != nil {
		return nil, err
	}
	server := &server{directory: directory, listen: "127.0.0.1:0"}
	return server, server.run()
}

// run starts the server, where it listened before.
func (server *server) run() error {
	server.process = exec.Command(binary(), "serve", "--listen", server.listen, "--data-dir", server.directory)
	output, err := server.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.process.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the server did not start: %w", err)
	}
	server.address = strings.TrimPrefix(strings.TrimSpace(line), "listening on ")
	server.listen = strings.TrimPrefix(server.address, "http://")
	return nil
}

// kill ends the server as `kill -9` does.
func (server *server) kill() {
	server.process.Process.Kill()
	server.process.Wait()
}

func (server *server) remove() {
	server.kill()
	os.RemoveAll(server.directory)
}

// key is the administrator's.
func (server *server) key() string {
	key, err := os.ReadFile(filepath.Join(server.directory, "admin.key"))
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(string(key))
}

// testServer is a server that belongs to one test.
type testServer struct {
	*server
	t *testing.T
}

func startServer(t *testing.T) *testServer {
	t.Helper()
	if binary() == "" {
		t.Skip("QUARTERDECK_TEST_SERVER names no server")
	}
	server, err := newServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.remove)
	return &testServer{server, t}
}

// start starts a server that was killed.
func (server *testServer) start() {
	server.t.Helper()
	if err := server.run(); err != nil {
		server.t.Fatal(err)
	}
}

// client is one of the server, or of what stands before it.
func (server *testServer) client(address string, options ...Option) *Client {
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
	proxy.run(proxy.accept)
	t.Cleanup(func() {
		listener.Close()
		proxy.cut()
		proxy.running.Wait()
	})
	return proxy
}

func (proxy *proxy) address() string { return "http://" + proxy.listener.Addr().String() }

// run runs work that cleaning up waits for.
func (proxy *proxy) run(work func()) {
	proxy.running.Add(1)
	go func() {
		defer proxy.running.Done()
		work()
	}()
}

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
		proxy.run(func() { proxy.pump(near, far, held) })
		proxy.run(func() { proxy.pump(far, near, held) })
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
