// BullMQ's side of the stage: `node bullmq.mjs worker` works; `node bullmq.mjs send`
// obeys lines of JSON on stdin and answers each with one.
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const QUEUE = "benchmark";
// seconds since the epoch; Date.now() knows whole milliseconds alone
const now = () => (performance.timeOrigin + performance.now()) / 1000;
const connect = () =>
  new Redis({ path: process.env.BENCH_SOCKET, maxRetriesPerRequest: null });

if (process.argv[2] === "worker") {
  const told = connect();
  const threads = Number(process.env.BENCH_THREADS);
  const work = async ({ data }) => {
    if (data.sent !== undefined) {
      const waited = now() - data.sent;
      await told.rpush("waited", `${process.pid} ${waited}`);
    }
  };
  const worker = new Worker(QUEUE, work, { connection: connect(), concurrency: threads });
  process.on("SIGTERM", async () => {
    await worker.close();
    process.exit(0);
  });
} else {
  const queue = new Queue(QUEUE, { connection: connect() });
  const obey = {
    // one after the other
    each: async ({ jobs }) => {
      for (let n = 0; n < jobs; n++) await queue.add("job", {});
    },
    // some hundred in a step
    bulk: async ({ jobs }) => {
      for (let n = 0; n < jobs; n += 500) {
        const length = Math.min(500, jobs - n);
        const some = Array.from({ length }, () => ({
          name: "job",
          data: {},
        }));
        await queue.addBulk(some);
      }
    },
    // one that tells how long it has waited
    timed: async ({ priority }) =>
      queue.add("job", { sent: now() }, { priority }),
    clear: async () => queue.obliterate({ force: true }),
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const order = JSON.parse(line);
    const started = performance.now();
    await obey[order.do](order);
    console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000 }));
  }
  process.exit(0);
}
