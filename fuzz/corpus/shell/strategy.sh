#!/usr/bin/env bash
helm upgrade vectors zilliztech/milvus --namespace search --version 4.2.58 --set queryNode.replicas=3
