"""Equations of a spiking loop, population by population and pathway by pathway.

A step: membranes move ("groups"), spikes ("thresholds", "resets"), what follows from them ("after_resets"), learning
("end"). TimedArrays cue, goal, learning and recorded have one value a trial; the clock of trials resets the state.
"""

BACKGROUND = """                                   # shared by the networks that are compared
dnoise/dt = -noise/tau_noise + noise_sd*sqrt(2/tau_noise)*xi : volt
onset : 1                                          # of the way to threshold, where a membrane begins the trial
luck : 1                                           # what complex spikes are drawn with
"""
BACKGROUND_RESET = "onset = rand()"

BACKGROUND_LUCK = "luck = rand()"

INPUTS = """                                       # the bits of the cue, and a last channel that is always on
x = cue(t, i)*int((t - began < cue_duration - dt/2) or (i == N - 1)) : 1
dtrace/dt = (x - trace)/tau_m : 1
began : second (shared)
"""
INPUTS_RESET = "began = t; trace = 0"

CORTEX = """
dv/dt = (feedforward + recurrent + background - v)/tau_m : volt
dr/dt = -r/tau_f : 1                               # filtered spikes: the state whose gradient is predicted
dtrace/dt = (r - trace)/tau_m : 1                  # ∂v/∂w of the synapses that it sends out
slope = steepness*clip(1 - abs(v - v_threshold)/v_threshold, 0, 1)/v_threshold : Hz/volt  # pseudo-derivative
feedforward : volt
recurrent : volt
background : volt (linked)
onset : 1 (linked)
error : Hz                                         # lₜ/dt, of the readout, back through its weights
prediction : 1                                     # ĝₜ, of the nuclei
kappa : 1 (constant)                               # weight of the prediction
eta : volt**2 (constant)                           # learning rate
tau_e : second (constant)                          # of traces: dt, or τ_f in e-prop, where they carry the leak of r
"""
CORTEX_RESET = "v = onset*v_threshold; r = 0; trace = 0"

CORTEX_SPIKE = "v -= v_threshold; r += 1"

READOUT = """
y : 1
target = goal(t, i % 2) : 1
importance = int(t - began > duration - window - dt/2)/window : Hz
error = importance*(y - target) : Hz
cost : 1                                           # loss of the trial so far, ½ |y − target|², mean over the window
began : second (shared)
"""
READOUT_RESET = "began = t; cost = 0"

READOUT_COUNT = "cost += 0.5*importance*dt*(y - target)**2"

GRANULE = """
dv/dt = (mossy - v)/tau_granule : volt
dg/dt = -g/tau_g : 1                               # filtered spikes
g_before : 1                                       # one step ago
mossy : volt
"""
GRANULE_RESET = "v = 0*volt; g = 0"

GRANULE_SPIKE = "v = 0*volt; g += 1"

GRANULE_REMEMBER = "g_before = g"

NUCLEI = """                                       # one for each cortical neuron, by way of Purkinje cells
prediction = purkinje*int(t - began < duration - 1.5*dt) : 1   # ĝₜ: nothing follows the last step
purkinje : 1
purkinje_before : 1                                # what present weights make of the step before
climbing_fibre : Hz                                # of the olive
began : second (shared)
"""
NUCLEI_RESET = "began = t"

OLIVE = """
td_error = (heard - expected)/dt : Hz              # δₜ₋₁/dt
heard = (1 - dt/tau_f)*(error*dt + discount*prediction) : 1    # the leak of r stands for the Jacobian
error : Hz
prediction : 1
expected : 1                                       # ĝₜ₋₁
"""

CLIMBING_FIBRE = {
    "graded": "climbing_fibre = td_error : Hz",
    "poisson": """
        rate = clip(baseline + sensitivity*td_error, 0*Hz, ceiling) : Hz
        complex_spike : 1
        luck : 1 (linked)
        climbing_fibre = (complex_spike/dt - baseline)/sensitivity : Hz
        """,
}

OLIVE_SPIKE = "complex_spike = int(luck < rate*dt)"

INTO_CORTEX = """                                  # from the inputs, and from the cortex itself
w : volt
deligibility/dt = slope_post*trace_pre - eligibility/tau_e_post : 1/volt (clock-driven)
"""

FEEDFORWARD = "feedforward_post = w*x_pre : volt (summed)" + INTO_CORTEX

RECURRENT = "recurrent_post = w*r_pre : volt (summed)" + INTO_CORTEX

INTO_CORTEX_RESET = "eligibility = 0/volt"

INTO_CORTEX_LEARN = "w -= learning(t)*eta_post*(error_post*dt + kappa_post*prediction_post)*eligibility"

OUTPUT = """
y_post = w*r_pre : 1 (summed)
error_pre = w*error_post : Hz (summed)
w : 1
"""
OUTPUT_LEARN = "w -= learning(t)*eta_out*error_post*dt*r_pre"

MOSSY = """
mossy_post = w*r_pre : volt (summed)
w : volt (constant)
"""

PARALLEL = """
purkinje_post = w*g_pre : 1 (summed)
purkinje_before_post = w*g_before_pre : 1 (summed)
w : 1
deligibility/dt = g_pre - eligibility/tau_parallel : second (clock-driven)
"""
PARALLEL_RESET = "eligibility = 0*second"

PARALLEL_LEARN = "w += learning(t)*alpha*climbing_fibre_post*eligibility*dt"

ONE_TO_ONE = {  # source, target and what a fibre of its own brings to every unit
    "nucleocortical": ("nuclei", "cortex", "prediction_post = prediction_pre : 1 (summed)"),
    "corticoolivary": ("cortex", "olive", "error_post = error_pre : Hz (summed)"),
    "nucleoolivary": (
        "nuclei",
        "olive",
        "prediction_post = prediction_pre : 1 (summed)\nexpected_post = purkinje_before_pre : 1 (summed)",
    ),
    "climbing": ("olive", "nuclei", "climbing_fibre_post = climbing_fibre_pre : Hz (summed)"),
}
