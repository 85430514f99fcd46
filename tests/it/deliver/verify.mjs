// Verifies signed webhooks and CloudEvents with independent libraries: reads one JSON object a line, with secrets,
// headers and body.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const require = createRequire(process.argv[2] + "/");
const { Webhook } = require("standardwebhooks");
const { HTTP } = require("cloudevents");

let count = 0;
for (const line of readFileSync(0, "utf8").trim().split("\n")) {
  const { secrets, headers, body } = JSON.parse(line);
  for (const secret of secrets) {
    new Webhook(secret).verify(body, headers);
    let refused = false;
    try {
      new Webhook(secret).verify(body + " ", headers);
    } catch {
      refused = true;
    }
    if (!refused) throw new Error("a changed body is accepted");
    count += 1;
  }
  if (headers["content-type"].startsWith("application/cloudevents")) {
    for (const event of [HTTP.toEvent({ headers, body })].flat()) {
      event.validate();
      if (event.data.transition_id !== event.id) throw new Error("another id");
      count += 1;
    }
  }
}
console.log(count);
