# The image of milvus-guard: the webhook, as a user without rights, and nothing else.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p milvus-guard-webhook --bin milvus-guard && cp target/release/milvus-guard /milvus-guard

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /milvus-guard /usr/local/bin/milvus-guard
COPY LICENSE /LICENSE
# No large pages, also where the node makes them of everything (see webhook/Cargo.toml); what is free goes back after 10 ms.
ENV MIMALLOC_ALLOW_THP=0 MIMALLOC_PURGE_DELAY=10
USER 65532:65532
EXPOSE 9443 9444
ENTRYPOINT ["/usr/local/bin/milvus-guard"]
