# Copyright (c) the mailops.postmaster contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A steady load of numbered messages, from a client that does as an MTA does: what was put off or lost is tried again.

The first argument is its work, in JSON: ``run``, a word that the numbers begin with; ``helo``; ``rate``, how many
messages are begun in a second at each server; ``count``, how many at the least; ``seconds``, how long at the most; and
``servers``, by their names, each with ``address`` and ``recipients``. The second one is a directory. There it writes
for each server a file of that name, a line of JSON for each attempt at a message: ``message``, ``recipient``, ``at``,
``stage`` (how far it got), ``code`` (0: the reply was lost, or there was no connection) and ``text``.

It begins no new message when there were enough and the directory has a file ``enough``; it ends when all are accepted.
"""

import json
import os
import smtplib
import sys
import threading
import time

CLIENTS = 3  # connections to a server at the same time
TOGETHER = 4  # messages in a connection
AGAIN = 0.5  # seconds until a message is tried again
PATIENCE = 60  # seconds until a reply counts as lost
LARGE = 10  # every tenth message
LINES = ("x" * 78 + "\n") * 500


class Load:
    """What is sent to one server, by several clients."""

    def __init__(self, work, folder, name):
        self.work, self.folder = work, folder
        self.address, self.recipients = work["servers"][name]["address"], work["servers"][name]["recipients"]
        self.begin = time.monotonic()
        self.number = 0
        self.turn = threading.Lock()
        self.path = os.path.join(folder, name)

    def start(self):
        for _client in range(CLIENTS):
            threading.Thread(target=Client(self).run).start()

    @property
    def over(self):
        return time.monotonic() > self.begin + self.work["seconds"]

    def numbers(self):
        """The numbers of messages, each when it is time for it."""
        while True:
            with self.turn:
                enough = self.number >= self.work["count"] and os.path.exists(os.path.join(self.folder, "enough"))
                if enough or self.over:
                    return
                number = self.number
                time.sleep(max(0, self.begin + number / self.work["rate"] - time.monotonic()))
                self.number += 1
            yield number

    def note(self, **attempt):
        with self.turn, open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(attempt) + "\n")


class Client:
    """One that sends a message after the other, each until it is accepted or refused for good."""

    def __init__(self, load):
        self.load, self.connection, self.sent = load, None, 0

    def run(self):
        for number in self.load.numbers():
            while self.attempt(number) in (0, 4) and not self.load.over:
                time.sleep(AGAIN)
        self.leave()

    def attempt(self, number):
        """Send a message; the first digit of the last reply."""
        message, recipient = (
            f"{self.load.work['run']}-{number}",
            self.load.recipients[number % len(self.load.recipients)],
        )
        stage, code, text = "connect", 0, ""
        try:
            self.connect()
            for command in (f"MAIL FROM:<sender@{self.load.work['helo']}>", f"RCPT TO:<{recipient}>", "DATA"):
                stage = command[:4]
                code, text = self.connection.docmd(command)
                if code not in (250, 354):
                    break
            else:
                stage, code = "dot", 0
                self.connection.send(self.text(message, number).replace("\n", "\r\n").encode() + b".\r\n")
                code, text = self.connection.getreply()
        except smtplib.SMTPResponseException as error:
            code, text = error.smtp_code, error.smtp_error
        except OSError as error:
            code, text = 0, repr(error).encode()
        if code != 250:
            self.leave()
        said = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        self.load.note(message=message, recipient=recipient, at=time.time(), stage=stage, code=code, text=said)
        return code // 100

    def connect(self):
        """Have a connection that is fit for one more message."""
        if self.sent == TOGETHER:
            self.leave()
        if not self.connection:
            helo = self.load.work["helo"]
            self.connection = smtplib.SMTP(self.load.address, 25, local_hostname=helo, timeout=PATIENCE)
            self.connection.ehlo_or_helo_if_needed()
        self.sent += 1

    def leave(self):
        if self.connection:
            try:
                self.connection.quit()
            except OSError:
                self.connection.close()
        self.connection, self.sent = None, 0

    def text(self, message, number):
        """Its number is in the header, and once more at the end, so that half a message is known as such."""
        helo = self.load.work["helo"]
        header = f"From: <sender@{helo}>\nTo: <recipient@{helo}>\nSubject: load\nX-Load: {message}\n"
        return f"{header}\n{'' if number % LARGE else LINES}end {message}\n"


if __name__ == "__main__":
    work = json.loads(sys.argv[1])
    os.makedirs(sys.argv[2])
    for name in work["servers"]:
        Load(work, sys.argv[2], name).start()
