// Server and client on the libraries that go-livepeer is built on: net/http with its stock
// transport, and grpc-go.
//
// -serve is a node: one TLS port for gRPC, HTTP/2 and HTTP/1.1. Else it is a gateway with
// go-livepeer's rule for batch AI (server/ai_process.go): it keeps its connections and its first
// node until that one errs, then sends the same request to the next one.
package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error { *v.(*[]byte) = append([]byte(nil), b...); return nil }
func (raw) Name() string                    { return "proto" }

func say(event string, more map[string]any) {
	more["event"] = event
	line, _ := json.Marshal(more)
	fmt.Println(string(line))
}

func certificate() tls.Certificate {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour)}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

const parts = 10

// work answers after ms, with so many bytes; as a stream of parts when asked to.
func work(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	query := r.URL.Query()
	ms, _ := strconv.Atoi(query.Get("ms"))
	size, _ := strconv.Atoi(query.Get("bytes"))
	if query.Get("stream") == "" {
		time.Sleep(time.Duration(ms) * time.Millisecond)
		w.Write(make([]byte, size))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for range parts {
		io.WriteString(w, "data: x\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(time.Duration(ms/parts) * time.Millisecond)
	}
	w.Write(make([]byte, size))
}

func echo(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for range 3 {
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	return status.Error(13, "of the node")
}

func serve(address string) {
	calls := grpc.NewServer(grpc.UnknownServiceHandler(echo))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		work(w, r)
	})
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "http/1.1"}}
	server := &http.Server{Handler: handler, TLSConfig: config}
	say("serving", map[string]any{"address": listener.Addr().String()})
	panic(server.ServeTLS(listener, "", ""))
}

// gateway is what all requests share.
type gateway struct {
	client  *http.Client
	lock    sync.Mutex
	nodes   []string
	moved   int
	errors  map[string]int
	seconds []float64
}

func (g *gateway) post(node, query string, body int) error {
	answer, err := g.client.Post("https://"+node+query, "application/json", bytes.NewReader(make([]byte, body)))
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	told, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("broken off: %w", err)
	}
	if answer.StatusCode != 200 {
		return fmt.Errorf("%d %s", answer.StatusCode, strings.TrimSpace(string(told)))
	}
	return nil
}

// one request, to the first node that is not known to err.
func (g *gateway) request(query string, body int) bool {
	for {
		g.lock.Lock()
		if len(g.nodes) == 0 {
			g.lock.Unlock()
			return false
		}
		node := g.nodes[0]
		g.lock.Unlock()
		began := time.Now()
		err := g.post(node, query, body)
		g.lock.Lock()
		if err == nil {
			g.seconds = append(g.seconds, time.Since(began).Seconds())
			g.lock.Unlock()
			return true
		}
		g.moved++
		g.errors[strings.ReplaceAll(err.Error(), node, "NODE")]++
		g.nodes = slices.DeleteFunc(g.nodes, func(each string) bool { return each == node })
		g.lock.Unlock()
	}
}

func call(address, method string) {
	config := credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})
	client, err := grpc.NewClient(address, grpc.WithTransportCredentials(config))
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	got := 0
	if err == nil {
		message := []byte("hello")
		err = errors.Join(stream.SendMsg(&message), stream.CloseSend())
		for err == nil {
			var reply []byte
			if err = stream.RecvMsg(&reply); err == nil {
				got++
			}
		}
	}
	told := status.Convert(err)
	say("called", map[string]any{"messages": got, "code": told.Code().String(), "text": told.Message()})
}

func main() {
	encoding.RegisterCodec(raw{})
	listen := flag.String("serve", "", "be a node at HOST:PORT")
	nodes := flag.String("nodes", "", "be a gateway of these")
	method := flag.String("call", "", "only call this gRPC method of the first node")
	rate := flag.Float64("rate", 20, "requests a second")
	most := flag.Int("requests", 0, "end after so many; 0: when standard input ends")
	query := flag.String("query", "/text-to-image?ms=300", "path and query; every third asks for a stream")
	body := flag.Int("body", 20000, "bytes of a request")
	http1 := flag.Bool("http1", false, "speak HTTP/1.1 alone")
	flag.Parse()
	if *listen != "" {
		serve(*listen)
	}
	g := &gateway{nodes: strings.Split(*nodes, ","), errors: map[string]int{}, seconds: []float64{}}
	if *method != "" {
		call(g.nodes[0], *method)
		return
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	if *http1 {
		transport.ForceAttemptHTTP2 = false
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	g.client = &http.Client{Transport: transport}
	stop := make(chan bool)
	go func() { io.Copy(io.Discard, os.Stdin); close(stop) }()
	tick := time.NewTicker(time.Duration(float64(time.Second) / *rate))
	var running sync.WaitGroup
	lost, sent := 0, 0
	for more := true; more; more = *most == 0 || sent < *most {
		select {
		case <-stop:
			more = false
		case <-tick.C:
		}
		if !more {
			break
		}
		sent++
		number := sent
		running.Add(1)
		go func() {
			defer running.Done()
			asked := *query
			if number%3 == 0 {
				asked += "&stream=1"
			}
			if !g.request(asked, *body) {
				g.lock.Lock()
				lost++
				g.lock.Unlock()
			}
			if number == 10 {
				say("ten", map[string]any{})
			}
		}()
	}
	running.Wait()
	slices.Sort(g.seconds)
	say("ended", map[string]any{
		"sent": sent, "lost": lost, "moved": g.moved, "errors": g.errors, "seconds": g.seconds,
	})
}
