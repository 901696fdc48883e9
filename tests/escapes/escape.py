"""What an agent that has been talked into it tries against its gateway. Its argument is JSON that says what there is to
reach; it prints one JSON object: for each attempt `true` where it worked, else why not. It opens, connects and signals in
earnest: `access(2)` and the like say less than what holds. Nothing is changed by what works.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys

TARGET = json.loads(sys.argv[1])
DATA = TARGET["data"]
SERVER = TARGET["server"]
KEEPER = TARGET["keeper"]

libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE, PTRACE_DETACH = 0x4206, 17
PIDFD_OPEN, PIDFD_GETFD = 434, 438
SHM_KEY = TARGET["shm_key"]


def called(result):
    """The result of a C function, or its error."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def read(path, length=64):
    with open(path, "rb") as file:
        return file.read(length)


def write(path):
    os.close(os.open(path, os.O_RDWR))


def make(path):
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    os.unlink(path)


def list_data():
    """The way down to its own directory may be there; what else lies beside it is the server's."""
    if "admin.key" not in os.listdir(DATA):
        raise OSError("it shows nothing of the server's")


def connect(address):
    with socket.socket(socket.AF_UNIX) as one:
        one.settimeout(10)
        one.connect(address)


def trace(pid):
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    called(libc.ptrace(PTRACE_SEIZE, pid, None, None))
    libc.ptrace(PTRACE_DETACH, pid, None, None)


def read_memory(pid):
    class Part(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]

    with open(f"/proc/{pid}/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    local, remote = Part(ctypes.addressof(buffer), 16), Part(start, 16)
    libc.process_vm_readv.restype = ctypes.c_ssize_t
    called(libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))


def take_descriptor(pid):
    handle = called(libc.syscall(PIDFD_OPEN, pid, 0))
    try:
        os.close(called(libc.syscall(PIDFD_GETFD, handle, 1, 0)))
    finally:
        os.close(handle)


def tcp(port):
    socket.create_connection(("127.0.0.1", port), 10).close()


ATTEMPTS = {
    "read the server's key": lambda: read(f"{DATA}/admin.key"),
    "read the pepper": lambda: read(f"{DATA}/pepper"),
    "write the store": lambda: write(f"{DATA}/quarterdeck.db"),
    "list the data directory": list_data,
    "read another session's file": lambda: read(TARGET["other_file"]),
    "read the configuration": lambda: read(TARGET["config"]),
    "connect to the server's unix socket": lambda: connect(f"{DATA}/quarterdeck.sock"),
    "connect to an abstract unix socket": lambda: connect("\0" + TARGET["abstract"]),
    "read the server's environment": lambda: read(f"/proc/{SERVER}/environ"),
    "open the server's memory": lambda: write(f"/proc/{SERVER}/mem"),
    "list the server's descriptors": lambda: os.listdir(f"/proc/{SERVER}/fd"),
    "enter the server's root": lambda: os.listdir(f"/proc/{SERVER}/root/"),
    "read the server's command line": lambda: read(f"/proc/{SERVER}/cmdline"),
    "trace the server": lambda: trace(SERVER),
    "read the server's memory": lambda: read_memory(SERVER),
    "take a descriptor of the server": lambda: take_descriptor(SERVER),
    "signal the server": lambda: os.kill(SERVER, 0),
    "signal its keeper": lambda: os.kill(KEEPER, 0),
    "write to the shared /tmp": lambda: make(TARGET["shared"]),
    "read a neighbour's file": lambda: read(TARGET["neighbour"]),
    "change system files": lambda: make("/usr/quarterdeck-was-here"),
    "read root's files": lambda: read("/etc/shadow"),
    "read root's file in a directory that is shown": lambda: read(TARGET["root_file"]),
    "open others' shared memory": lambda: called(libc.shmget(SHM_KEY, 0, 0)),
    "connect to the server's port": lambda: tcp(TARGET["port"]),
}


def attempt(what):
    try:
        what()
        return True
    except OSError as error:
        return os.strerror(error.errno) if error.errno else str(error)


def status(field):
    with open("/proc/self/status") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(field + ":"))


signal.alarm(120)
found = {name: attempt(what) for name, what in ATTEMPTS.items()}
state = {
    "no_new_privileges": status("NoNewPrivs") == "1",
    "no_capabilities": int(status("CapEff"), 16) == 0 and int(status("CapPrm"), 16) == 0,
    "no_core": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
    "goes_first": int(read("/proc/self/oom_score_adj")) >= 500,
    "own_tmp": os.environ.get("TMPDIR", ""),
    "user": os.getuid(),
    # The listing itself is one.
    "descriptors": len(os.listdir("/proc/self/fd")) - 1,
    "secrets": [name for name in os.environ if "KEY" in name or "TOKEN" in name],
}
print(json.dumps({"worked": found, "state": state}))
