# tasks: 3, arrays: 1 (an array holds at most 1001, Slurm's default: no cluster answers)

# array 1: tasks: 3
#!/bin/bash

# Parameters
#SBATCH --account=lab
#SBATCH --array=0-2%2
#SBATCH --comment=inr:TOKEN
#SBATCH --constraint='a100|h100'
#SBATCH --cpus-per-task=2
#SBATCH --error='/SWEEP/submitit/%A_%a_0_log.err'
#SBATCH --exclude='n[1-2]'
#SBATCH --exclusive
#SBATCH --gpus-per-node=a100:1
#SBATCH --job-name='a sweep'
#SBATCH --mail-type=FAIL
#SBATCH --mem=8GB
#SBATCH --nice=3
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --open-mode=append
#SBATCH --output='/SWEEP/submitit/%A_%a_0_log.out'
#SBATCH --partition=gpu
#SBATCH --qos=high
#SBATCH --requeue
#SBATCH --signal=USR2@90
#SBATCH --time=30

# setup
unset ${!SRUN_@} ${!SLURM_CPU_BIND@} ${!SLURM_MEM_BIND@} SLURM_EXPORT_ENV SLURM_MEM_PER_CPU SLURM_MEM_PER_GPU
module load cuda
[ $? -eq 0 ] || { echo 'setup failed: module load cuda' >&2; exit 1; }
cd /data && . 'my env'
[ $? -eq 0 ] || { echo 'setup failed: cd /data && . '"'"'my env'"'"'' >&2; exit 1; }

# command
export SUBMITIT_EXECUTOR=slurm
srun --unbuffered --output '/SWEEP/submitit/%A_%a_%t_log.out' --error '/SWEEP/submitit/%A_%a_%t_log.err' --cpus-per-task=2 bash -c 'trap "" USR2 TERM; exec "$@"' bash env 'PYTHONPATH=/SWEEP/code/DIGEST'"${PYTHONPATH:+:$PYTHONPATH}" PYTHON -P -u -m jobs.worker.array_task '/SWEEP' TOKEN
