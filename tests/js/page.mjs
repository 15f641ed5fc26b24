// A browser that is told what to do: one JSON array a line in, one JSON object a line out.
//
// node page.mjs '{"browser": "/usr/bin/chromium"}'
// ["open", url, options, {url: file}]   a fresh context with a page; the files stand for the URLs
// [method, ...arguments]                a method of playwright's Page; of $eval, $$eval and evaluate
//                                       the last argument is the text of a function
// Answers {"value": ...} or {"error": text}, and with both "problems": what the browser's console,
// the page's scripts and its requests have complained of since the last answer.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const STEP_MS = 8000;

const config = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: config.browser,
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
});
let context;
let page;
let problems = [];

async function open(url, options = {}, files = {}) {
  await context?.close();
  context = await browser.newContext(options);
  context.setDefaultTimeout(STEP_MS);
  page = await context.newPage();
  page.on("console", (said) => {
    if (["error", "warning"].includes(said.type())) problems.push(said.text());
  });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("requestfailed", (request) => problems.push(`no answer: ${request.url()}`));
  page.on("response", (response) => {
    if (response.status() >= 400) problems.push(`${response.status()}: ${response.url()}`);
  });
  for (const [target, path] of Object.entries(files)) {
    const headers = { "Access-Control-Allow-Origin": "*" };
    await page.route(target, (route) => route.fulfill({ path, headers }));
  }
  await page.goto(url);
}

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...given] = JSON.parse(line);
  let answer;
  try {
    if (/eval/.test(method)) given.push((0, eval)(given.pop()));
    const result = await (method === "open" ? open(...given) : page[method](...given));
    const isPlain = typeof result !== "object" || Array.isArray(result);
    answer = { value: isPlain ? result : null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify({ ...answer, problems })}\n`);
  problems = [];
}
await browser.close();
