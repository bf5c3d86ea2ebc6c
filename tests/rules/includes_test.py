"""The rule of includes against a made tree: what it must let pass, and what it must catch."""
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
import includes  # noqa: E402  (it lies beside this file)

GOOD = {
    'include/clbilevel/a.h': '#include <clbilevel/b.h>\n#include <stdint.h>',
    'src/device/device.h': '#include <CL/cl.h>\n#include <clblast_c.h>',
    'src/graph/graph.h': '#include <clbilevel/graph.h>',
    'src/data/cache.c': '#include "base/folder.h"',
    'src/device/cache.c': '#include "base/folder.h"',
    'src/graph/graph.c': '#include "graph.h"\n#include "blo_config.h"',
    'src/plan/gemm_clblast.c': '#include <clblast_c.h>\n#include "device/device.h"\n#include "cl_sources.h"',
    'src/optim/sgd.c': '#include "nn/model.h"\n/* #include "bilevel/solver.h" */',
    'src/bilevel/iapttgm.c': '#include "schedule/schedule.h"',
    'tools/main.c': '#include "options.h"\n#include <clbilevel/clbilevel.h>\n#include <jansson.h>',
    'tools/options.h': '',
    'examples/numerical.c': '#include <clbilevel/clbilevel.h>',
}
BAD = {
    'src/graph/a.c': '#include "device/device.h"',
    'src/graph/b.c': '#include <CL/cl.h>',
    'src/device/c.c': '#include "graph/graph.h"',
    'src/plan/d.c': '#include <clblast_c.h>',
    'src/plan/e.c': '#  include "schedule/schedule.h"',
    'src/nn/f.c': '#include "optim/optim.h"',
    'src/schedule/g.c': '#include "bilevel/solver.h"',
    'src/base/t.c': '#include "device/device.h"',
    'src/data/h.c': '#include "device/device.h"',
    'src/optim/i.c': '#include "../bilevel/solver.h"',
    'src/optim/j.c': '#include <bilevel/solver.h>',
    'src/optim/k.c': '#include "optim/optim.h"',
    'src/optim/l.c': '#include "missing.h"',
    'src/bilevel/m.c': '#include "cl_sources.h"',
    'src/attic/n.c': '#include <stdio.h>',
    'include/clbilevel/o.h': '#include <CL/cl.h>',
    'tools/p.c': '#include "graph/graph.h"',
    'tools/q.c': '#include "blo_config.h"',
    'examples/r.c': '#include <CL/cl.h>',
    'cl/s.cl': '#include <stdio.h>',
}


def main():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**GOOD, **BAD}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + '\n')
        caught = {problem.split(':')[0] for problem in includes.violations(root)}
    missed, wronged = sorted(set(BAD) - caught), sorted(caught - set(BAD))
    print(f'{len(BAD)} bad includes, missed: {missed}; {len(GOOD)} good files, wronged: {wronged}')
    sys.exit(1 if missed or wronged else 0)


main()
