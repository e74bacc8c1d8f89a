"""Checks a log of buzzerd: python3 verify.py FILE.jsonl...   All its files, in the order of their names."""
import hashlib, json, sys
head, seq, number = "0" * 64, 0, 0
for line in (line for name in sys.argv[1:] for line in open(name, "rb")):
    number, body = number + 1, line[:-73]
    head = hashlib.sha256(head.encode() + body).hexdigest()
    if line[-73:] != b',"h":"%s"}\n' % head.encode() or len(line) > 8192:
        sys.exit(f"line {number}: it was changed or moved, or is not the line that stood here")
    if b'"kind":"lost"' in body and json.loads(line)["first_seq"] == seq + 1:
        seq = max(seq, json.loads(line)["last_seq"])  # records that could not be kept, and the log says so
    seq += 1
    if not body.startswith(b'{"v":1,"seq":%d,' % seq):
        sys.exit(f"line {number}: seq {seq} was due here")
if not seq:
    sys.exit(__doc__)
spoken = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(head[:20], 16) >> 75 - 5 * at & 31] for at in range(16)]
print(f"{number} lines, each as it was written, if the last is the last that was; {head}")
print("-".join("".join(spoken[at : at + 4]) for at in (0, 4, 8, 12)) + f"@{seq}")
