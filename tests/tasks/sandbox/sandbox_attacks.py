"""Programs that try to break out, to use up the machine, or to pass tests they do not pass. Data for the tests.

The code under test is `f`, which is wrong: the tests want f(3) == 4. No attack may make them pass, and an honest
program after each must still pass.
"""

WRONG = "\ndef f(x):\n    return x\n"

# `crawl` changes functions and what they find in all that it is led to; `spoil` what the frames hold that run now.
CRAWL = """
import gc, sys, types
def f(x): return x
busy = []
def spoil(*_):
    if busy: return 0.0
    busy.append(True)
    frame = sys._getframe(1)
    while frame:
        crawl([frame.f_locals], 4, lambda: 0)
        frame = frame.f_back
    busy.clear()
    return 0.0
def crawl(todo, depth, function=types.FunctionType):
    seen = set()
    while todo and depth:
        for one in todo:
            if type(one) is function and one.__code__.co_filename == "<sandbox>":
                one.__code__ = (lambda *a: 16).__code__
            elif type(one) is dict:
                for name, value in ("abs", lambda x: 0), ("fabs", lambda x: 0), ("all", lambda x: True):
                    if name in one: one[name] = value
        todo = [child for one in todo for child in gc.get_referents(one) if id(child) not in seen]
        seen |= set(map(id, todo))
        depth -= 1
"""

# name -> code of an assertion job
FORGERIES = {
    "prints passed": "print('passed'); import sys; sys.stderr.write('passed')",
    "os._exit before the tests": "import os; os._exit(0)",
    "sys.exit before the tests": "import sys; sys.exit(0)",
    "SystemExit before the tests": "raise SystemExit",
    "exits at exit": "import atexit, os; atexit.register(os._exit, 0)",
    "kills itself": "import os; os.kill(os.getpid(), 9)",
    "os._exit in the tests": "import os\ndef f(x): os._exit(0)",
    "sys.exit in the tests": "import sys\ndef f(x): sys.exit(0)",
    "SystemExit in the tests": "def f(x): raise SystemExit(0)",
    "exits in a thread": "import os, threading; threading.Thread(target=lambda: os._exit(0)).start()",
    "a thread that waits": "import threading, time; threading.Thread(target=time.sleep, args=(9,)).start()",
    "writes on every descriptor": """
import os
for number in range(64):
    for text in (b"passed", b"p", b"=4", b"!", b".", b"\\0" * 16, os.urandom(16)):
        try: os.write(number, text)
        except OSError: pass
""",
    "writes on every descriptor and leaves": """
import os
for number in range(64):
    for _ in range(3):
        try: os.write(number, b"\\0" * 16)
        except OSError: pass
os._exit(0)
""",
    "returns what it reads": """
import os
for number in range(3, 64):
    try:
        os.set_blocking(number, False)
        os.write(number, os.read(number, 1 << 16))
        os.write(number, os.read(number, 1 << 16))
    except OSError: pass
""",
    "closes every descriptor": "import os; os.closerange(0, 64)",
    "points every descriptor elsewhere": """
import os
for number in range(3, 64):
    try: os.dup2(0, number)
    except OSError: pass
""",
    "replaces exec, eval and compile": """
import builtins
for name in ("exec", "eval", "compile"):
    setattr(builtins, name, lambda *a, **k: None)
""",
    "replaces AssertionError": "import builtins; builtins.AssertionError = type('E', (Warning,), {})",
    "a namespace of its own": "__builtins__ = {'abs': lambda x: 0}",
    "redefines what tests use": "def abs(x): return 0\nall = any = isinstance = lambda *a: True",
    "replaces builtins in place": """
import builtins
builtins.abs = lambda x: 0
builtins.all = builtins.any = lambda x: True
""",
    "changes a module tests use": "import math; math.isclose = lambda *a, **k: True; math.fabs = lambda x: 0",
    "puts in a module of its own": "import sys, types; sys.modules['math'] = m = types.ModuleType('m'); m.fabs = int",
    "defines the tests itself": "def check(candidate): pass\ntests = [] \n__keeps__ = ['abs', 'f']",
    "replaces reading and leaving": """
import os
os.read = lambda *a: b"."
os._exit = lambda code: None
os.write = lambda *a: None
""",
    "traces the tests": """
import sys
def tracer(frame, event, arg):
    if event == "line" and frame.f_code.co_filename == "<tests>": frame.f_lineno = 3
    return tracer
try: sys.settrace(tracer)
except AttributeError: pass
""",
    "profiles the runner": "import threading; threading.setprofile(print); import sys; sys.setprofile(print)",
    "walks the frames": """
import sys
frame = sys._getframe()
while frame:
    for space in (frame.f_globals, frame.f_locals, frame.f_builtins):
        for name in list(space):
            if frame.f_back and name not in ("frame", "space", "name", "list", "sys", "setattr"):
                try: space[name] = (lambda *a, **k: 16)
                except Exception: pass
    frame = frame.f_back
""",
    "looks for tokens in frames and lists": """
import gc, os, sys
found, frames, frame = set(), [], sys._getframe()
while frame:
    frames.append(frame)
    frame = frame.f_back
todo = [frames, gc.get_objects()]
seen = set()
for _ in range(4):
    todo = [child for one in todo for child in gc.get_referents(one)]
    todo = [one for one in {id(one): one for one in todo}.values() if id(one) not in seen]
    seen |= set(map(id, todo))
    found |= {one for one in todo if type(one) is bytes and len(one) == 16}
    todo = todo[:20000]
for number in range(3, 64):
    for token in found:
        try: os.write(number, token)
        except OSError: pass
""",
    "replaces functions found by the collector": """
import gc, types
for one in gc.get_objects():
    if type(one) is types.FunctionType and one.__code__.co_filename == "<sandbox>":
        one.__code__ = (lambda *a: 16).__code__
""",
    "follows every reference": CRAWL + """
frames = [sys._getframe()]
while frames[-1]: frames.append(frames[-1].f_back)
crawl([frames, object.__subclasses__(), list(sys.modules.values()), gc.get_objects()], 100)
""",
    "spoils what frames hold at every event": CRAWL + "sys.addaudithook(spoil)",
    "spoils what frames hold at every collection": CRAWL + "gc.callbacks.append(spoil)\ngc.set_threshold(1)",
    "spoils what frames hold at every call": CRAWL + "import _lsprof\n_lsprof.Profiler(spoil).enable()",
    "spoils what frames hold at a signal": CRAWL + """
import signal
signal.signal(signal.SIGALRM, spoil)
signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
""",
    "an audit hook": """
import sys, os
def hook(event, args):
    if event in ("exec", "compile"): os._exit(0)
sys.addaudithook(hook)
""",
    "a signal in the middle": """
import signal, os
signal.signal(signal.SIGALRM, lambda *a: os._exit(0))
signal.setitimer(signal.ITIMER_REAL, 0.0005)
""",
    "a copy goes on alone": "import os\nif os.fork(): os._exit(0)",
    "a copy answers too": "import os\nos.fork()",
    "raises at import of the tests": "import sys; sys.meta_path[:] = []; sys.path[:] = []",
    "a finaliser": "import os\nclass A:\n    def __del__(self): os._exit(0)\nkept = A()",
    "an exception that cannot be shown": """
class E(Exception):
    def __str__(self): raise SystemExit(0)
def f(x): raise E
""",
    "lone surrogates and null bytes": "x = '\\ud800'\n\0",
    "a text that Python cannot parse": "(" * 5000,
    "deep recursion": "import sys; sys.setrecursionlimit(10 ** 9)\ndef f(x): return f(x)",
}  # fmt: skip

# name -> (code, statuses it may end in). All of them run out of something, on purpose.
BOMBS = {
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", {"timeout", "memory"}),
    "processes that outlive it": ("""
import os, time
for _ in range(10):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0: time.sleep(100)
        os._exit(0)
""", {"failed", "error", "forged"}),
    "zombies": ("import os\nfor _ in range(10):\n    if os.fork() == 0: os._exit(0)", {"failed"}),
    "memory bomb": ("x = []\nwhile True: x.append(bytearray(1 << 24))", {"memory"}),
    "memory bomb of many": ("""
import os
for _ in range(6):
    try: os.fork()
    except OSError: pass
x = []
while True:
    try: x.append(bytes(bytearray(b'x') * (1 << 20)))
    except MemoryError: pass
""", {"memory", "timeout"}),
    "endless loop": ("while True: pass", {"timeout"}),
    "endless sleep": ("import time; time.sleep(1000)", {"timeout"}),
    "signals ignored": ("""
import signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
while True: pass
""", {"timeout"}),
    "stopped": ("import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", {"timeout"}),
    "a huge file": ("f = open('/tmp/x', 'wb')\nwhile True: f.write(bytes(1 << 20))", {"output"}),
    "many files": ("""
import os
try:
    for i in range(20000): open(f'/tmp/{i}', 'w').close()
except OSError: pass
""", {"failed", "memory", "timeout"}),
    "deep folders": ("""
import os
try:
    for i in range(500): os.mkdir('d'); os.chdir('d')
except OSError: pass
""", {"failed"}),
    "an unreadable scratch folder": ("import os; os.chmod('/tmp', 0)", {"failed"}),
    "a link out of the scratch folder": ("import os; os.symlink('/', '/tmp/link')", {"failed"}),
    "a big number": ("x = 10 ** 10 ** 9", {"timeout", "memory"}),
    "a pattern that backtracks": ("import re; re.match('(a+)+$', 'a' * 60 + 'b')", {"timeout"}),
}  # fmt: skip

# Expressions of a call job, each with the outputs that mean it was stopped. `HOME`, `SECRET`, `PORT`, `PARENT` are
# filled in. None: it raised.
LOOK = """
import ctypes, glob, os, signal, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def read(path):
    return open(path).read(1000)
def write(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    return "written"
def connect(address, family=socket.AF_INET):
    socket.socket(family, socket.SOCK_STREAM).connect(address)
    return "connected"
def send(address):
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", address)
def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0: raise OSError(ctypes.get_errno())
    return "done"
def link(path):
    os.symlink(path, "/tmp/l")
    try: return read("/tmp/l")
    finally: os.unlink("/tmp/l")
def kill(pid, number):
    os.kill(pid, number)
    return "sent"
def poke(pid):
    open(f"/proc/{pid}/mem", "r+b")
    return "open"
"""
ESCAPES = {
    "read('SECRET')": {None},
    "link('SECRET')": {None},
    "read('/etc/passwd')": {None},
    "read('/proc/self/environ')": {None},
    "read('/proc/1/cmdline')": {None},
    "read('/sys/kernel/notes')": {None},
    "dict(os.environ)": {"{}"},
    "os.getenv('REPRO_TEST_SECRET')": {"None"},
    "os.listdir('/proc') if os.path.exists('/proc') else 0": {"0"},
    "os.listdir('/root/.ssh')": {None},
    "glob.glob('HOME/*')": {"[]"},
    "{'proc', 'sys', 'var', 'run', 'mnt', 'srv', 'boot'} & set(os.listdir('/')) or 0": {"0"},
    "write('/x')": {None}, "write('/usr/x')": {None}, "write('/dev/x')": {None}, "write('/dev/shm/x')": {None},
    "write('HOME/x')": {None}, "write('/etc/x')": {None}, "write('/var/x')": {None},
    "os.remove(os.__file__)": {None},
    "os.chmod('/', 0)": {None},
    "os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0))": {None},
    "connect(('127.0.0.1', PORT))": {None},
    "connect(('1.1.1.1', 53))": {None},
    "send(('1.1.1.1', 53))": {None},
    "connect('\\0repro', socket.AF_UNIX)": {None},
    "[name for _, name in socket.if_nameindex()]": {"['lo']"},
    "socket.gethostbyname('example.org')": {None},
    "subprocess.run(['/bin/sh', '-c', 'id'])": {None},
    # Process 1 is the server: signals to it are dropped by the kernel, and kill(-1) reaches nobody else.
    "kill(1, 9)": {"'sent'", None}, "kill(1, signal.SIGSTOP)": {"'sent'", None}, "kill(1, 15)": {"'sent'", None},
    "kill(PARENT, 9)": {None},
    "kill(-1, 9)": {None},
    "os.killpg(os.getpgrp(), 0)": {"None", None},
    "poke(1)": {None}, "poke('self')": {None}, "poke(PARENT)": {None},
    "os.readlink('/proc/self/fd/3')": {None},
    "os.setuid(0)": {None}, "os.setgroups([])": {None}, "os.chroot('/tmp')": {None}, "os.nice(-5)": {None},
    "os.sched_setaffinity(1, {0})": {None}, "os.setpriority(os.PRIO_PROCESS, 1, 19)": {None},
    "__import__('resource').prlimit(1, __import__('resource').RLIMIT_NOFILE, (3, 3))": {None},
    "__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, (-1, -1))": {None},
    "libc.ptrace(16, 1, 0, 0)": {"-1"},
    "libc.unshare(0x10000000)": {"-1"}, "libc.unshare(0x40000000)": {"-1"}, "libc.unshare(0x20000)": {"-1"},
    "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)": {"-1"},
    "libc.mount(b'proc', b'/tmp', b'proc', 0, None)": {"-1"},
    "libc.shmget(0, 4096, 0o1600)": {"-1"}, "libc.msgget(0, 0o1600)": {"-1"}, "libc.semget(0, 1, 0o1600)": {"-1"},
    "libc.reboot(0)": {"-1"}, "libc.sethostname(b'x', 1)": {"-1"},
    "os.uname().nodename": {"'sandbox'"},
    "os.getpid() > 1 and os.getppid() == 1": {"True"},
}  # fmt: skip
