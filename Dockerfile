# The broker on a small Debian; build with: docker build -t sluice .
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libclang-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cargo build --release --locked --package sluice-broker

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --user-group --home-dir /var/lib/sluice --create-home sluice
COPY --from=build /src/target/release/sluice /usr/local/bin/sluice
COPY --from=build /src/policies /usr/share/sluice/policies
USER sluice
WORKDIR /var/lib/sluice
VOLUME /var/lib/sluice
EXPOSE 6432 8443 2222
ENV SLUICE_CONFIG=/etc/sluice/sluice.yaml
STOPSIGNAL SIGTERM
ENTRYPOINT ["sluice"]
CMD ["serve"]
