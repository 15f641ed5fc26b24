"""What a program needs that embeds this interpreter, for the Makefile: cflags, ldflags; unused."""

import sys
import sysconfig

if sys.argv[1] == "cflags":
    print("-isystem", sysconfig.get_path("include"), f"-DFUZZ_PYTHON='\"{sys.executable}\"'")
elif sys.argv[1] == "unused":  # as in setup.py
    print("eager_py311" if sys.version_info >= (3, 12) else "eager_py312")
else:
    folder, version = sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDVERSION")
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):  # the archive, whole, for its modules
        folder = sysconfig.get_config_var("LIBPL")
        print(f"-Wl,--export-dynamic -Wl,--whole-archive {folder}/libpython{version}.a")
        print("-Wl,--no-whole-archive")
    else:
        print(f"-L{folder} -Wl,-rpath,{folder} -lpython{version}")
    print(sysconfig.get_config_var("LIBS"), sysconfig.get_config_var("SYSLIBS"))
