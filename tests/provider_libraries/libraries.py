"""Signs and verifies with the libraries that providers publish for Python.

Reads one task as JSON from stdin, writes the outcomes as JSON to stdout: for
{"sign": [delivery, ...]} the headers of each delivery, for
{"verify": [delivery, ...]} whether its library takes it.
"""

import datetime
import importlib.metadata
import json
import sys
import urllib.parse

import slack_sdk.signature
import standardwebhooks
import stripe
import svix.webhooks
import twilio.request_validator


class Stripe:
    package = "stripe"

    def sign(self, delivery):
        signed = stripe.WebhookSignature.generate_signature_header(
            delivery["body"], delivery["secret"], delivery["timestamp"]
        )
        return {"stripe-signature": signed}

    def verify(self, delivery):
        header = delivery["headers"]["stripe-signature"]
        stripe.Webhook.construct_event(delivery["body"], header, delivery["secret"])


class Standard:
    def __init__(self, package, prefix, library):
        self.package, self.prefix, self.library = package, prefix, library

    def sign(self, delivery):
        # The library takes the time to be UTC, whatever it says of itself.
        at = datetime.datetime.fromtimestamp(delivery["timestamp"], datetime.timezone.utc)
        signed = self.library(delivery["secret"]).sign(delivery["id"], at, delivery["body"])
        return {
            self.prefix + "-id": delivery["id"],
            self.prefix + "-timestamp": str(delivery["timestamp"]),
            self.prefix + "-signature": signed,
        }

    def verify(self, delivery):
        self.library(delivery["secret"]).verify(delivery["body"], delivery["headers"])


class Slack:
    package = "slack_sdk"

    def verifier(self, delivery):
        return slack_sdk.signature.SignatureVerifier(delivery["secret"])

    def sign(self, delivery):
        timestamp = str(delivery["timestamp"])
        signed = self.verifier(delivery).generate_signature(
            timestamp=timestamp, body=delivery["body"]
        )
        return {"x-slack-request-timestamp": timestamp, "x-slack-signature": signed}

    def verify(self, delivery):
        if not self.verifier(delivery).is_valid_request(delivery["body"], delivery["headers"]):
            raise ValueError("refused")


class Twilio:
    package = "twilio"

    def parts(self, delivery):
        fields = urllib.parse.parse_qsl(delivery["body"], keep_blank_values=True)
        validator = twilio.request_validator.RequestValidator(delivery["secret"])
        return validator, dict(fields)

    def sign(self, delivery):
        validator, fields = self.parts(delivery)
        return {"x-twilio-signature": validator.compute_signature(delivery["url"], fields)}

    def verify(self, delivery):
        validator, fields = self.parts(delivery)
        header = delivery["headers"]["x-twilio-signature"]
        if not validator.validate(delivery["url"], fields, header):
            raise ValueError("refused")


LIBRARIES = {
    "stripe": Stripe(),
    "standard-webhooks": Standard("standardwebhooks", "webhook", standardwebhooks.Webhook),
    "svix": Standard("svix", "svix", svix.webhooks.Webhook),
    "slack": Slack(),
    "twilio": Twilio(),
}


def takes(library, delivery):
    try:
        library.verify(delivery)
    except Exception:
        return False
    return True


task = json.load(sys.stdin)
versions = {
    name: library.package + " " + importlib.metadata.version(library.package)
    for name, library in LIBRARIES.items()
}
signed = [LIBRARIES[delivery["provider"]].sign(delivery) for delivery in task.get("sign", [])]
verified = [takes(LIBRARIES[delivery["provider"]], delivery) for delivery in task.get("verify", [])]
json.dump({"versions": versions, "signed": signed, "verified": verified}, sys.stdout)
