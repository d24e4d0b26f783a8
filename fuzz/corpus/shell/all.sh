#!/bin/bash
helm repo add m https://milvus-io.github.io/milvus-helm/ && helm repo update
ARGS=(--namespace "${NS:-vectors}" --version 4.2.58)
ARGS+=(--set "a.b[0].c={x,y}" --set-string 'image.all.tag=v2.5.16')
cat > values.yaml <<EOF
cluster:
  enabled: true
EOF
if [ "$1" = x ]; then
  helm upgrade --install milvus m/milvus "${ARGS[@]}" -f values.yaml --atomic --timeout 5m || exit 1
fi
echo "helm upgrade milvus m/milvus"
kubectl set image deployment/milvus-proxy proxy=milvusdb/milvus:v2.5.16
./migrate.sh -i milvus -n vectors -s 2.1.4 -t 2.2.16 -w milvusdb/milvus:v2.2.16
helm upgrade milvus m/milvus -f - <<'EOF'
cluster: {enabled: true}
EOF
