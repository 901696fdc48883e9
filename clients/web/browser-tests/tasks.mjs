// How long a page's main thread works at a time.

/**
 * Runs something and answers the time of the longest task meanwhile, in milliseconds of the thread's own clock: what else
 * runs on the machine does not count.
 */
export async function longestTask(browser, page, run) {
  await browser.startTracing(page, { categories: ["__metadata", "toplevel"], screenshots: false });
  let trace;
  try {
    await run();
  } finally {
    trace = JSON.parse((await browser.stopTracing()).toString());
  }
  const mains = new Set(
    trace.traceEvents
      .filter(({ name, args }) => name === "thread_name" && args.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const tasks = trace.traceEvents.filter(({ name, pid, tid }) => name.endsWith("RunTask") && mains.has(`${pid} ${tid}`));
  if (tasks.length === 0) throw new Error("the trace has no tasks");
  return Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1000;
}
