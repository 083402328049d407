# Production image: only what runs. Node 24 comes with the base image, so the optional packages (embedded Postgres, Node by npm) stay out.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional

FROM node:24-bookworm-slim
# As `npm start`: the heap settles near 200 MiB; without a bound V8 takes what the machine has before it collects.
ENV NODE_ENV=production NODE_OPTIONS="--max-old-space-size=384 --max-semi-space-size=8"
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json ./
COPY config ./config
COPY migrations ./migrations
COPY src ./src
# The demo stays at home: it brings an identity provider that signs anybody in.
RUN rm -r src/demo
USER node
EXPOSE 8080
ENTRYPOINT ["node", "src/cli/rollcall.ts"]
CMD ["serve"]
