#!/usr/bin/env bash
set -euo pipefail

CHART_VERSION="4.2.58"

helm repo add zilliztech https://zilliztech.github.io/milvus-helm/
helm upgrade vectors zilliztech/milvus \
  --namespace search \
  --version "$CHART_VERSION" \
  --reuse-values \
  --set queryNode.replicas=3
