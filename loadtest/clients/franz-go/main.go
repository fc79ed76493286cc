// A franz-go client for the checks: the verbs are in loadtest/src/clients/program-client.ts.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Bytes are base64 in JSON, nil is null: Go's own rules for []byte.
type record struct {
	Topic     string  `json:"topic"`
	Partition int32   `json:"partition"`
	Offset    int64   `json:"offset"`
	Key       []byte  `json:"key"`
	Value     []byte  `json:"value"`
	Headers   [][]any `json:"headers"`
}

type inputRecord struct {
	Topic     string              `json:"topic"`
	Partition int32               `json:"partition"`
	Key       []byte              `json:"key"`
	Value     []byte              `json:"value"`
	Headers   [][]json.RawMessage `json:"headers"`
}

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

func main() {
	arguments := os.Args[2:]
	switch os.Args[1] {
	case "info":
		info()
	case "create":
		create(arguments[0], arguments[1], arguments[2])
	case "produce":
		produce(arguments[0], arguments[1])
	case "consume":
		consume(arguments[0], arguments[1], arguments[2:])
	default:
		panic("no such verb: " + os.Args[1])
	}
}

func info() {
	version := "unknown"
	build, _ := debug.ReadBuildInfo()
	for _, module := range build.Deps {
		if module.Path == "github.com/twmb/franz-go" {
			version = module.Version
		}
	}
	say(map[string]any{
		"version": version,
		"codecs":  []string{"none", "gzip", "snappy", "lz4", "zstd"},
		// When its heartbeats fail it gives its partitions up and joins again.
		"features": map[string]string{"redelivers": "after-disconnect"},
	})
}

func create(bootstrap, topic, partitions string) {
	client := connect(bootstrap)
	defer client.Close()
	count, err := strconv.Atoi(partitions)
	check(err)
	deadline, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	_, err = kadm.NewClient(client).CreateTopic(deadline, int32(count), -1, nil, topic)
	check(err)
}

func produce(bootstrap, codec string) {
	client := connect(
		bootstrap,
		kgo.ProducerBatchCompression(codecs[codec]),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)
	defer client.Close()
	var acknowledged sync.WaitGroup
	var mutex sync.Mutex
	produced := 0
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 16<<20)
	for input.Scan() {
		var line inputRecord
		check(json.Unmarshal(input.Bytes(), &line))
		acknowledged.Add(1)
		client.Produce(context.Background(), toKafka(line), func(_ *kgo.Record, err error) {
			check(err)
			mutex.Lock()
			produced++
			mutex.Unlock()
			acknowledged.Done()
		})
	}
	check(input.Err())
	acknowledged.Wait()
	say(map[string]int{"produced": produced})
}

func toKafka(line inputRecord) *kgo.Record {
	headers := make([]kgo.RecordHeader, len(line.Headers))
	for index, pair := range line.Headers {
		check(json.Unmarshal(pair[0], &headers[index].Key))
		check(json.Unmarshal(pair[1], &headers[index].Value))
	}
	return &kgo.Record{
		Topic:     line.Topic,
		Partition: line.Partition,
		Key:       line.Key,
		Value:     line.Value,
		Headers:   headers,
	}
}

// What is held now: the default balancer is cooperative, so that changes come as changes.
type assignment struct {
	mutex sync.Mutex
	held  map[string]map[int32]bool
}

func (a *assignment) change(partitions map[string][]int32, held bool) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	for topic, numbers := range partitions {
		for _, number := range numbers {
			if a.held[topic] == nil {
				a.held[topic] = map[int32]bool{}
			}
			if held {
				a.held[topic][number] = true
			} else {
				delete(a.held[topic], number)
			}
		}
	}
	pairs := [][]any{}
	for topic, numbers := range a.held {
		for number := range numbers {
			pairs = append(pairs, []any{topic, number})
		}
	}
	sort.Slice(pairs, func(i, j int) bool { return fmt.Sprint(pairs[i]) < fmt.Sprint(pairs[j]) })
	say(map[string]any{"assigned": pairs})
}

func consume(bootstrap, group string, topics []string) {
	current := &assignment{held: map[string]map[int32]bool{}}
	client := connect(
		bootstrap,
		kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, added map[string][]int32) {
			current.change(added, true)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, c *kgo.Client, gone map[string][]int32) {
			// With a callback of one's own, committing at a rebalance is one's own job too.
			check(c.CommitUncommittedOffsets(ctx))
			current.change(gone, false)
		}),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
			current.change(gone, false)
		}),
	)
	running, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for running.Err() == nil {
		fetches := client.PollFetches(running)
		fetches.EachError(func(topic string, partition int32, err error) {
			if running.Err() == nil {
				fmt.Fprintln(os.Stderr, topic, partition, err)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) { say(fromKafka(r)) })
	}
	check(client.CommitUncommittedOffsets(context.Background()))
	client.Close()
}

func fromKafka(r *kgo.Record) record {
	headers := [][]any{}
	for _, header := range r.Headers {
		headers = append(headers, []any{header.Key, header.Value})
	}
	return record{r.Topic, r.Partition, r.Offset, r.Key, r.Value, headers}
}

func connect(bootstrap string, options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(bootstrap))...)
	check(err)
	return client
}

var output sync.Mutex

func say(line any) {
	text, err := json.Marshal(line)
	check(err)
	output.Lock()
	defer output.Unlock()
	_, err = os.Stdout.Write(append(text, '\n'))
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
