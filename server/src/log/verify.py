"""Checks a log of buzzerd: python3 verify.py DIRECTORY, or python3 verify.py FILE.jsonl... in the order of their names."""
import glob, hashlib, os, re, sys

SEGMENT = re.compile(r"(?!000000)[0-9]{6}-([1-9][0-9]{0,18})\.jsonl")
NUMBER = "(0|[1-9][0-9]{0,19})"
LOST = f'{{"v":1,"seq":[0-9]+,"at_us":{NUMBER},"kind":"lost","first_seq":{NUMBER},"last_seq":{NUMBER},'.encode()
CHECKPOINT = re.compile(r"buzzerd-checkpoint 1\nlog: .*\nseq: (%s)\nhead: ([0-9a-f]{64})\n" % NUMBER)
files, signed = sys.argv[1:], {}
if len(files) == 1 and os.path.isdir(files[0]):
    names = sorted(os.listdir(files[0]))
    of_log = list(filter(SEGMENT.fullmatch, names)) or ["log.jsonl"]  # one file is what an export has
    for name in names:
        if name.lower().endswith(".jsonl") and name not in of_log:
            sys.exit(f"{name}: it is no part of the log, and no other file may be called so")
    for path in glob.glob(os.path.join(glob.escape(files[0]), "checkpoints", "*.txt")):  # who signed is for ssh-keygen
        said = CHECKPOINT.match(open(path, encoding="latin-1").read()) or sys.exit(f"{path}: it is no checkpoint")
        signed.setdefault(int(said[1]), set()).add(said[3])
    files = [os.path.join(files[0], name) for name in of_log]
for file in files:
    if os.path.islink(file) or not os.path.isfile(file) or not os.path.getsize(file):
        sys.exit(f"{file}: it is empty, or no file")


def seq_in_name(file):
    name = SEGMENT.fullmatch(os.path.basename(file))
    return int(name[1]) if name else None


def lines():
    for file in files:
        for number, line in enumerate(open(file, "rb"), 1):
            yield file, number, line


head, seq, count, all_lines = "0" * 64, 0, 0, lines()
begins = (seq_in_name(files[0]) if files else sys.exit(__doc__)) or 1
if begins > 1:  # older files were removed: a record further on names the hash that the rest follows from
    lost = re.match(LOST, next(lines())[2])
    begins = int(lost[2]) if lost else begins
    words = rb'"kind":"expired",.*"last_seq":%d,"last_hash":"([0-9a-f]{64})"' % (begins - 1)
    for hash in (found[1] for _, _, line in lines() for found in [re.search(words, line)] if found):
        head, seq = hash.decode(), begins - 1
for file, number, line in all_lines:
    if line == b"\n" and count and not next(all_lines, None):
        break  # a blank line at the end of all is an editor's, and says nothing
    place, body = f"{file}: line {number}: ", line[:-73]
    head = hashlib.sha256(head.encode() + body).hexdigest()
    if line[-73:] != b',"h":"%s"}\n' % head.encode() or len(line) > 8192:
        sys.exit(place + "it was changed or moved, or is not the line that stood here")
    lost = re.match(LOST, line)
    if lost and int(lost[1]) < 2**64 and int(lost[2]) == seq + 1 <= int(lost[3]):
        seq = int(lost[3])  # records that could not be kept, and the log says so
    seq, count = seq + 1, count + 1
    if not line.startswith(b'{"v":1,"seq":%d,' % seq) or seq >= 2**63:
        sys.exit(place + f"seq {seq} was due here")
    if number == 1 and seq_in_name(file) not in (None, seq):
        sys.exit(place + f"it has seq {seq}, and its file is called otherwise")
    if signed.get(seq) == {head}:
        del signed[seq]
for seq in sorted(signed):
    if seq >= begins:
        sys.exit(f"checkpoints: one is about seq {seq}, and this log has another record there, or none")
spoken = ["0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(head[:20], 16) >> 75 - 5 * at & 31] for at in range(16)]
print(f"{count} lines, each as it was written, if the last is the last that was; {head}")
print("-".join("".join(spoken[at : at + 4]) for at in (0, 4, 8, 12)) + f"@{seq}")
