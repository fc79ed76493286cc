#!/usr/bin/env bash
# Makes the golden files anew from Apache Kafka's own jars (Maven Central): needs a JDK 17, Maven,
# and a built tree (npm ci). Takes about three minutes.
#
#   messages/*.jsonl  what Kafka's generated classes serialize, every message at every version
#   traffic.jsonl     frames between Kafka's tools and a real broker, once at the versions that the
#                     tools choose, once at those that this server offers
#
# Afterwards the declarations can be compared with Kafka's message definitions: the script ends with
# the command.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
golden=$(dirname "$here")
work=${1:-$(mktemp -d)}
mkdir -p "$work/lib"

mvn -q -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$work/lib"
unzip -qo "$work"/lib/kafka-clients-*.jar 'common/message/*.json' -d "$work/schemas"

quiet=-Dorg.slf4j.simpleLogger.defaultLogLevel=error
java_cp=("-Xmx512m" "$quiet" "-cp" "$work/lib/*")

# messages/ ------------------------------------------------------------------------------------
mkdir -p "$golden/messages"
names=()
for file in "$here"/../../../src/protocol/messages/*.ts; do
  stem=$(basename "$file" .ts)
  names+=("$stem:$(sed -E 's/^[0-9]+-//; s/(^|-)([a-z])/\U\2/g' <<<"$stem")")
done
java "${java_cp[@]}" "$here/CaptureMessages.java" "$golden/messages" "${names[@]}"

# traffic.jsonl --------------------------------------------------------------------------------
read -r broker_port proxy_port controller_port < <(node -e '
  const { createServer } = require("node:net");
  const servers = [0, 0, 0].map(() => createServer().listen(0, "127.0.0.1"));
  setTimeout(() => {
    console.log(servers.map((server) => server.address().port).join(" "));
    for (const server of servers) server.close();
  }, 100);')
rm -rf "$work/kraft"
cat >"$work/server.properties" <<X
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller_port
listeners=PLAINTEXT://127.0.0.1:$broker_port,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=PLAINTEXT://127.0.0.1:$proxy_port,CONTROLLER://127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$work/kraft
offsets.topic.replication.factor=1
offsets.topic.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
X
kafka() { java "${java_cp[@]}" "$@"; }
kafka kafka.tools.StorageTool format -t "$(kafka kafka.tools.StorageTool random-uuid)" \
  -c "$work/server.properties" --standalone >/dev/null
kafka kafka.Kafka "$work/server.properties" >"$work/broker.log" 2>&1 &
broker=$!
proxy=
trap 'kill $broker $proxy 2>/dev/null || true' EXIT

tool() {
  local class=$1
  shift
  kafka "org.apache.kafka.tools.$class" --bootstrap-server "127.0.0.1:$proxy_port" "$@"
}

run_tools() {
  local topic=$1
  tool TopicCommand --create --topic "$topic" --partitions 2 --replication-factor 1
  tool TopicCommand --describe --topic "$topic"
  tool TopicCommand --alter --topic "$topic" --partitions 3
  kafka org.apache.kafka.tools.ProducerPerformance --topic "$topic" --num-records 30 \
    --record-size 50 --throughput -1 \
    --producer-props "bootstrap.servers=127.0.0.1:$proxy_port" compression.type=gzip
  tool VerifiableProducer --topic "$topic" --max-messages 5 --acks 1
  tool VerifiableConsumer --topic "$topic" --group-id group --max-messages 30 \
    --group-instance-id instance --reset-policy earliest
  # In a group of its own, since the static member above has not left. Idle for 8 s before it
  # leaves: time for heartbeats.
  tool consumer.ConsoleConsumer --topic "$topic" --group console --from-beginning --timeout-ms 8000
  tool consumer.group.ConsumerGroupCommand --list --state
  tool consumer.group.ConsumerGroupCommand --describe --group group
  tool consumer.group.ConsumerGroupCommand --describe --group group --members --verbose
  tool GetOffsetShell --topic "$topic" --time -1
  tool GetOffsetShell --topic "$topic" --time -3
  tool GetOffsetShell --topic "$topic" --time 1700000000000
  kafka kafka.admin.ConfigCommand --bootstrap-server "127.0.0.1:$proxy_port" --alter \
    --entity-type topics --entity-name "$topic" --add-config retention.ms=1000000
  kafka org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "127.0.0.1:$proxy_port"
  tool consumer.group.ConsumerGroupCommand --delete-offsets --group group --topic "$topic"
  tool consumer.group.ConsumerGroupCommand --delete --group group
  tool TopicCommand --delete --topic "$topic"
}

rm -f "$golden/traffic.jsonl"
for mode in chosen offered; do
  node "$here/recording-proxy.mjs" "$proxy_port" "$broker_port" "$golden/traffic.jsonl" "$mode" &
  proxy=$!
  for _ in $(seq 60); do
    tool BrokerApiVersionsCommand >/dev/null 2>&1 && break
    sleep 1
  done
  run_tools "topic-$mode" >"$work/tools-$mode.log" 2>&1 || {
    echo "a tool failed: see $work/tools-$mode.log" >&2
    exit 1
  }
  kill $proxy
  wait $proxy || true
done

echo "KAFSCALE_TEST_KAFKA_SCHEMAS=$work/schemas/common/message npx vitest run shared/codec/test/protocol/kafka-schema"
