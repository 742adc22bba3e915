# The image that helm/rollcall and compose.yaml run: the one binary, nothing else, not root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked -p rollcall && cp target/release/rollcall /rollcall
# A volume mounted here for the first time belongs to the process.
RUN mkdir /empty

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /rollcall /usr/local/bin/rollcall
COPY --from=build --chown=65532:65532 /empty /var/lib/rollcall
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/rollcall"]
