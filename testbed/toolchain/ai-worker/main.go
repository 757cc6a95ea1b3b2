// A stand-in for `livepeer -aiWorker` on the libraries that it is built on: grpc-go for the stream,
// net/http for inputs and results. It is no worker: it answers each job with a fixed file or text.
//
// What it does and in which order is what go-livepeer 0.9.1 was seen to do: no SNI, no verification,
// inputs by HTTP/1.1 within 4 s, results by HTTP/2 on a connection of their own, file parts before
// the JSON part.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
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

// fields of a message: the last of each number.
func fields(message []byte) map[protowire.Number][]byte {
	found := map[protowire.Number][]byte{}
	for len(message) > 0 {
		number, kind, size := protowire.ConsumeTag(message)
		message = message[size:]
		if kind == protowire.BytesType {
			value, size := protowire.ConsumeBytes(message)
			found[number], message = value, message[size:]
			continue
		}
		value, size := protowire.ConsumeVarint(message)
		found[number], message = []byte(strconv.FormatInt(int64(value), 10)), message[size:]
	}
	return found
}

type worker struct {
	address, secret string
	size            int
	plain, streams  *http.Client
}

func (w *worker) work(message []byte) {
	job := fields(message)
	data, task := fields(job[1]), string(job[2])
	pipeline := string(data[1])
	var told struct {
		URL     string          `json:"input_url"`
		Request json.RawMessage `json:"request"`
	}
	if err := json.Unmarshal(data[2], &told); err != nil {
		say("unreadable", map[string]any{"task": task, "error": err.Error()})
		return
	}
	input := 0
	if told.URL != "" {
		answer, err := w.plain.Get(told.URL)
		if err != nil {
			say("input failed", map[string]any{"task": task, "error": err.Error()})
			w.post(task, pipeline, "livepeer/ai-worker-error", []byte(err.Error()))
			return
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		input = len(body)
	}
	say("job", map[string]any{"task": task, "pipeline": pipeline, "input": input})
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	reply := `{"text":"hello","chunks":[]}`
	if pipeline != "audio-to-text" && pipeline != "image-to-text" && pipeline != "llm" {
		header := textproto.MIMEHeader{}
		header.Set("Content-Type", "image/png")
		header.Set("Content-Disposition", "attachment; filename=47309c52.png")
		header.Set("Content-Length", strconv.Itoa(w.size))
		part, _ := form.CreatePart(header)
		io.CopyN(part, zeros{}, int64(w.size))
		reply = `{"images":[{"nsfw":false,"seed":7,"url":"47309c52.png"}]}`
	}
	header := textproto.MIMEHeader{}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(reply)))
	part, _ := form.CreatePart(header)
	io.WriteString(part, reply)
	form.Close()
	w.post(task, pipeline, "multipart/mixed; boundary="+form.Boundary(), body.Bytes())
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func (w *worker) post(task, pipeline, media string, body []byte) {
	request, _ := http.NewRequest("POST", "https://"+w.address+"/aiResults", bytes.NewReader(body))
	request.Header.Set("Authorization", "Livepeer-AI-Worker-1.0")
	request.Header.Set("Credentials", w.secret)
	request.Header.Set("Content-Type", media)
	request.Header.Set("TaskId", task)
	request.Header.Set("Pipeline", pipeline)
	began := time.Now()
	answer, err := w.streams.Do(request)
	if err != nil {
		say("post failed", map[string]any{"task": task, "error": err.Error()})
		return
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	seconds := time.Since(began).Seconds()
	say("posted", map[string]any{
		"task": task, "status": answer.StatusCode, "proto": answer.Proto, "seconds": seconds,
	})
}

func main() {
	address := flag.String("addr", "", "HOST:PORT of the broker")
	secret := flag.String("secret", "", "with which results are posted")
	register := flag.String("register", "", "file of the registration, as bytes")
	size := flag.Int("size", 82, "bytes of each file")
	flag.Parse()
	message, err := os.ReadFile(*register)
	if err != nil {
		panic(err)
	}
	encoding.RegisterCodec(raw{})
	unverified := &tls.Config{InsecureSkipVerify: true}
	connection, err := grpc.NewClient(*address, grpc.WithTransportCredentials(credentials.NewTLS(unverified)))
	if err != nil {
		panic(err)
	}
	one := &worker{
		address: *address, secret: *secret, size: *size,
		plain: &http.Client{Timeout: 4 * time.Second, Transport: &http.Transport{
			TLSClientConfig: unverified.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
		}},
		streams: &http.Client{Transport: &http2.Transport{TLSClientConfig: unverified.Clone()}},
	}
	description := &grpc.StreamDesc{ServerStreams: true}
	stream, err := connection.NewStream(context.Background(), description, "/net.AIWorker/RegisterAIWorker")
	if err == nil {
		err = stream.SendMsg(&message)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		if _, err = stream.Header(); err == nil {
			say("registered", map[string]any{})
		}
	}
	for err == nil {
		var job []byte
		if err = stream.RecvMsg(&job); err == nil {
			go one.work(job)
		}
	}
	told := status.Convert(err)
	say("ended", map[string]any{"code": told.Code().String(), "words": told.Message()})
}
