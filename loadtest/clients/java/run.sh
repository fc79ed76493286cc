#!/usr/bin/env bash
# Kafka's own Java client, then Kafka's own command line tools and its ClientCompatibilityTest.
# The jars hold a whole Apache Kafka too: `--apache-kafka .cache/clients/java/lib` checks the checks of
# any client against it.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

apt_install javac default-jdk-headless
apt_install mvn maven
install_once "$here/pom.xml" "$here/RecordClient.java" -- bash -euc "
  mvn -q -B -f '$here/pom.xml' dependency:copy-dependencies -DoutputDirectory='$cache/lib'
  javac -cp '$cache/lib/*' -d '$cache/classes' '$here/RecordClient.java'"
# Short runs: a small heap, and no time spent on compiling well.
java=(java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$cache/classes:$cache/lib/*")
node "$runner" "$@" -- program java "${java[@]}" RecordClient
node "$runner" "$@" -- java-tools "${java[@]}"
