#!/bin/bash
# As the official image does with its environment: KAFKA_LOG_DIRS becomes log.dirs, the storage is
# formatted where it is new, and the broker is process 1.
set -euo pipefail
properties=/tmp/server.properties
while IFS='=' read -r -d '' name value; do
    case $name in
        KAFKA_HEAP_OPTS) ;;
        KAFKA_*)
            key=${name#KAFKA_}
            key=${key,,}
            printf '%s=%s\n' "${key//_/.}" "$value"
            ;;
    esac
done </proc/self/environ >"$properties"
java=(java "${KAFKA_HEAP_OPTS:--Xmx1g}" -Dorg.slf4j.simpleLogger.showDateTime=true -cp '/opt/kafka/libs/*')
"${java[@]}" kafka.tools.StorageTool format --cluster-id 5L6g3nShT-eMCtK--X86sw \
    --config "$properties" --ignore-formatted
exec "${java[@]}" kafka.Kafka "$properties"
