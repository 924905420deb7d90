// Reads an interval log with hdr-histogram-js (argument 1: its folder; 2: the log), and prints as JSON what it holds of each
// tag: how many intervals and values, and the median in milliseconds.
const { readFileSync } = require("node:fs");
const { HistogramLogReader, build } = require(process.argv[2]);

const reader = new HistogramLogReader(readFileSync(process.argv[3], "utf8"));
const tags = {};
for (let one = reader.nextIntervalHistogram(); one != null; one = reader.nextIntervalHistogram()) {
  const known = (tags[one.tag] ??= {
    intervals: 0,
    all: build({ bitBucketSize: 32, numberOfSignificantValueDigits: 3, autoResize: true }),
  });
  known.intervals += 1;
  known.all.add(one);
}
const told = Object.entries(tags).map(([tag, { intervals, all }]) => [
  tag,
  { intervals, n: all.totalCount, p50: all.getValueAtPercentile(50) / 1e6 },
]);
console.log(JSON.stringify(Object.fromEntries(told)));
