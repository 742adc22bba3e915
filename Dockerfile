# The image that helm/rollcall runs: the one binary, nothing else, not root.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p rollcall

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /src/target/release/rollcall /usr/local/bin/rollcall
ENTRYPOINT ["/usr/local/bin/rollcall"]
