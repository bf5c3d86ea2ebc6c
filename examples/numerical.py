"""The paper's numerical example through ctypes: min over x of x + x y, y a minimum of -sin(x y). The objectives are Python callbacks;
they are traced once, and no Python runs inside the loop.

usage: numerical.py [LIBRARY]   (default: the environment's CLBILEVEL_LIBRARY, else libclbilevel.so)"""
import ctypes as c
import os
import sys

lib = c.CDLL(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CLBILEVEL_LIBRARY", "libclbilevel.so"))
pointer = c.c_void_p


class State(c.Structure):  # blo_state
    _fields_ = [(n, pointer) for n in ("graph", "data", "target", "upper_model", "lower_model", "initial_model", "step", "inputs")]


class OptimizerOptions(c.Structure):  # blo_optimizer_options
    _fields_ = [("kind", c.c_int), ("learning_rate", c.c_double), ("momentum", c.c_double), ("nesterov", c.c_bool), ("weight_decay", c.c_double),
                ("beta1", c.c_double), ("beta2", c.c_double), ("epsilon", c.c_double)]


Objective = c.CFUNCTYPE(pointer, c.POINTER(State), pointer)


class LowerOptions(c.Structure):  # blo_lower_options
    _fields_ = [("lower_loop", c.c_int), ("optimizer", OptimizerOptions), ("rate", pointer), ("rate_user", pointer), ("projection", c.c_int),
                ("box_lo", c.c_double), ("box_hi", c.c_double), ("ball_radius", c.c_double), ("project", pointer), ("project_user", pointer),
                ("acquire_max_loss", c.c_bool), ("truncation", c.c_bool), ("initialization_auxiliary", c.c_bool), ("warm_start", c.c_bool),
                ("memory_budget", c.c_uint64), ("whole", c.c_int)]


for name in ("blo_model_parameter", "blo_neg", "blo_sin", "blo_mul", "blo_add"):
    getattr(lib, name).restype = pointer
lib.blo_model_parameter.argtypes = [pointer, c.c_char_p]
lib.blo_context_error.restype = c.c_char_p
for name, n in (("blo_neg", 1), ("blo_sin", 1), ("blo_mul", 2), ("blo_add", 2)):
    getattr(lib, name).argtypes = [pointer] * n
DOUBLE, BOX, SGD = 1, 1, 0
context = pointer()


def check(status):
    if status:
        raise SystemExit(lib.blo_context_error(context).decode())


@Objective
def lower_objective(state, user):
    x, y = lib.blo_model_parameter(state[0].upper_model, b"x"), lib.blo_model_parameter(state[0].lower_model, b"y")
    return lib.blo_neg(lib.blo_sin(lib.blo_mul(x, y)))


@Objective
def upper_objective(state, user):
    x, y = lib.blo_model_parameter(state[0].upper_model, b"x"), lib.blo_model_parameter(state[0].lower_model, b"y")
    return lib.blo_add(x, lib.blo_mul(x, y))


message = c.create_string_buffer(512)
if lib.blo_context_create(None, c.byref(context), message, c.c_size_t(512)):
    raise SystemExit(message.value.decode())
upper, lower, solver, method, step_x, step_z, trajectory = (pointer() for _ in range(7))
for model, parameter, value in ((upper, b"x", 1.0), (lower, b"y", 2.0)):
    check(lib.blo_model_create(context, DOUBLE, c.byref(model)))
    check(lib.blo_model_add(model, parameter, 0, None))
    check(lib.blo_model_set(model, parameter, c.byref(c.c_double(value)), c.c_int64(1)))
options, descent = LowerOptions(), OptimizerOptions()
lib.blo_lower_options_default(c.byref(options))
lib.blo_optimizer_options_default(c.byref(descent), SGD)
options.lower_loop, options.projection, options.box_lo, options.box_hi = 40, BOX, -2.0, 2.0
options.optimizer.learning_rate = 0.0005
check(lib.blo_lower_solver_create(lower_objective, upper_objective, None, upper, lower, c.byref(options), c.byref(solver)))
check(lib.blo_iapttgm_create(upper_objective, None, upper, lower, c.byref(method)))
check(lib.blo_optimizer_create(upper, c.byref(descent), c.byref(step_x)))
check(lib.blo_optimizer_create(lower, c.byref(descent), c.byref(step_z)))
max_loss_iter, loss = c.c_int(), c.c_double()
for i in range(500):
    check(lib.blo_model_zero_gradients(upper))
    check(lib.blo_model_zero_gradients(lower))
    check(lib.blo_lower_optimize(solver, None, None, None, None, c.byref(trajectory), c.byref(max_loss_iter)))
    check(lib.blo_iapttgm_compute_gradients(method, None, None, trajectory, c.byref(max_loss_iter), c.byref(loss)))
    check(lib.blo_optimizer_step(step_x))
    check(lib.blo_optimizer_step(step_z))
    check(lib.blo_model_clamp(upper, c.c_double(1), c.c_double(10)))
    check(lib.blo_model_clamp(lower, c.c_double(-2), c.c_double(2)))
x, z = c.c_double(), c.c_double()
check(lib.blo_model_get(upper, b"x", c.byref(x), c.c_int64(1)))
check(lib.blo_model_get(lower, b"y", c.byref(z), c.c_int64(1)))
print(f"x = {x.value:.4f}, z = {z.value:.4f}, F = {loss.value:.4f}")
lib.blo_trajectory_destroy(trajectory)
lib.blo_iapttgm_destroy(method)
lib.blo_lower_solver_destroy(solver)
lib.blo_optimizer_destroy(step_x)
lib.blo_optimizer_destroy(step_z)
lib.blo_model_destroy(upper)
lib.blo_model_destroy(lower)
lib.blo_context_destroy(context)
