# Lines on stdin go out as messages, messages come back as lines on stdout, after a ping. Deadlines of 20 s end it if
# nothing answers.
import asyncio
import json
import os
import sys
import traceback

import websockets


async def main(address):
    async with websockets.connect(address, subprotocols=["chat", "buzzer.v1"]) as socket:
        print(json.dumps({"subprotocol": socket.subprotocol}), flush=True)
        await asyncio.wait_for(await socket.ping(), 20)

        async def send():
            read = asyncio.get_running_loop().run_in_executor
            while line := await read(None, sys.stdin.readline):
                await socket.send(line.rstrip("\n"))

        sending = asyncio.create_task(send())
        try:
            while True:
                print(await asyncio.wait_for(socket.recv(), 20), flush=True)
        except websockets.ConnectionClosed as closed:
            print(json.dumps({"closed": closed.code}), flush=True)
        sending.cancel()


try:
    asyncio.new_event_loop().run_until_complete(main(sys.argv[1]))
    # Not `exit`: a thread still waits for a line.
    os._exit(0)
except BaseException:
    traceback.print_exc()
    os._exit(1)
