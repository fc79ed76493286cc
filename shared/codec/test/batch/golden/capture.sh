#!/usr/bin/env bash
# Renews the golden batches beside this file with Apache Kafka's own record builder.
# Needs Java 17 and Maven; usage: capture.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/pom.xml" <<'POM'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>capture</groupId><artifactId>capture</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-clients</artifactId><version>4.3.0</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
POM
(cd "$work" && mvn -q dependency:copy-dependencies -DoutputDirectory=lib)
javac -cp "$work/lib/*" -d "$work" "$here/CaptureBatches.java"
java -cp "$work:$work/lib/*" CaptureBatches "$here"
