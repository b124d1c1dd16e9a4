#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --comment=inr:TOKEN
#SBATCH --cpus-per-task=1
#SBATCH --dependency=afterany:41:42
#SBATCH --error='/SWEEP/submitit/%j_0_log.err'
#SBATCH --exclude='n[1-2]'
#SBATCH --job-name='a sweep_post'
#SBATCH --mail-type=FAIL
#SBATCH --mem=4GB
#SBATCH --nice=3
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='/SWEEP/submitit/%j_0_log.out'
#SBATCH --partition=cpu
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --signal=TERM@90
#SBATCH --time=60

# setup
unset ${!SRUN_@} ${!SLURM_CPU_BIND@} ${!SLURM_MEM_BIND@} SLURM_EXPORT_ENV SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID
module load cuda
[ $? -eq 0 ] || { echo 'setup failed: module load cuda' >&2; exit 1; }
cd /data && . 'my env'
[ $? -eq 0 ] || { echo 'setup failed: cd /data && . '"'"'my env'"'"'' >&2; exit 1; }

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/SWEEP/submitit/%j_%t_log.out' --error '/SWEEP/submitit/%j_%t_log.err' --cpus-per-task=1 bash -c 'trap "" USR2 TERM; exec "$@"' bash env 'PYTHONPATH=/SWEEP/code/DIGEST'"${PYTHONPATH:+:$PYTHONPATH}" PYTHON -P -u -m jobs.launching.postprocessing '/SWEEP'
