// Signs and verifies with the libraries that providers publish for Node.js.
//
// Reads one task as JSON from stdin, writes the outcomes as JSON to stdout: for
// {"sign": [delivery, ...]} the headers of each delivery, for
// {"verify": [delivery, ...]} whether its library takes it.

import { readFileSync } from "node:fs";
import * as octokit from "@octokit/webhooks-methods";
import bolt from "@slack/bolt";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const stripe = new Stripe("sk_test_not_used");

function ensure(condition) {
  if (!condition) throw new Error("refused");
}

function standard(npm, prefix, Library) {
  return {
    npm,
    sign({ id, timestamp, body, secret }) {
      const signed = new Library(secret).sign(id, new Date(timestamp * 1000), body);
      return {
        [`${prefix}-id`]: id,
        [`${prefix}-timestamp`]: String(timestamp),
        [`${prefix}-signature`]: signed,
      };
    },
    verify({ body, headers, secret }) {
      new Library(secret).verify(body, headers);
    },
  };
}

const fields = (body) => Object.fromEntries(new URLSearchParams(body));

const libraries = {
  stripe: {
    npm: "stripe",
    sign({ body, secret, timestamp }) {
      const payload = { payload: body, secret, timestamp };
      return { "stripe-signature": stripe.webhooks.generateTestHeaderString(payload) };
    },
    verify({ body, headers, secret }) {
      stripe.webhooks.constructEvent(body, headers["stripe-signature"], secret);
    },
  },
  "standard-webhooks": standard("standardwebhooks", "webhook", StandardWebhook),
  svix: standard("svix", "svix", SvixWebhook),
  // Verifies only.
  slack: {
    npm: "@slack/bolt",
    verify({ body, headers, secret }) {
      bolt.verifySlackRequest({ signingSecret: secret, body, headers });
    },
  },
  twilio: {
    npm: "twilio",
    sign({ url, body, secret }) {
      const signed = twilio.getExpectedTwilioSignature(secret, url, fields(body));
      return { "x-twilio-signature": signed };
    },
    verify({ url, body, headers, secret }) {
      ensure(twilio.validateRequest(secret, headers["x-twilio-signature"], url, fields(body)));
    },
  },
  github: {
    npm: "@octokit/webhooks-methods",
    async sign({ id, body, secret }) {
      return {
        "x-hub-signature-256": await octokit.sign(secret, body),
        "x-github-event": "push",
        "x-github-delivery": id,
      };
    },
    async verify({ body, headers, secret }) {
      ensure(await octokit.verify(secret, body, headers["x-hub-signature-256"]));
    },
  },
};

async function takes(delivery) {
  try {
    await libraries[delivery.provider].verify(delivery);
    return true;
  } catch {
    return false;
  }
}

function version({ npm }) {
  const manifest = JSON.parse(readFileSync(`node_modules/${npm}/package.json`, "utf8"));
  return `${npm} ${manifest.version}`;
}

const task = JSON.parse(readFileSync(0, "utf8"));
const versions = Object.fromEntries(
  Object.entries(libraries).map(([name, library]) => [name, version(library)]),
);
const signed = [];
for (const delivery of task.sign ?? []) {
  signed.push(await libraries[delivery.provider].sign(delivery));
}
const verified = [];
for (const delivery of task.verify ?? []) {
  verified.push(await takes(delivery));
}
process.stdout.write(JSON.stringify({ versions, signed, verified }));
