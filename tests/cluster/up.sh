#!/bin/bash
# up.sh [-n NODES] [-g GPUS] [-d DIR] [-x]: a Slurm cluster of NODES machines on this one, with sshd on each (root).
# -x: a machine more, which has one GPU fewer than it should; Slurm drains it by itself.
# Each machine, and "head", is a network, host name, mount and process namespace of its own, held by one process: to
# kill that process (DIR/pids/NODE.unshare) is a power cut. Nothing listens in this machine's own network.
#   DIR/on MACHINE COMMAND...   run it there        DIR/boot NODE; DIR/plug I   a machine comes back
set -euo pipefail
N=4 G=8 D=/tmp/perwatt-cluster X=0
while getopts n:g:d:x o; do case $o in n) N=$OPTARG;; g) G=$OPTARG;; d) D=$OPTARG;; x) X=1;; *) exit 2;; esac; done
mkdir -p "$D"/{pids,state,spool,log,run,dev,ssh}; chmod 755 "$D"; chown munge "$D/run"
L=$((N-1+X)); addr() { echo 10.77.$(( ($1+10)/250 )).$(( ($1+10)%250+1 )); }

# -- machines
{ echo "127.0.0.1 localhost"; echo "10.77.0.1 head"; for i in $(seq 0 $L); do echo "$(addr "$i") n$i"; done; } > "$D/hosts"
cat > "$D/on" <<X
#!/bin/bash
m=\$1; shift; exec nsenter -t "\$(cat $D/pids/\$m.init)" -n -u -m -p --wdns="\$PWD" -- env SLURM_CONF=$D/slurm.conf "\$@"
X
cat > "$D/boot" <<X
#!/bin/bash
# its own host name, hosts file and /run
m=\$1
setsid unshare --net --uts --mount --pid --fork --kill-child --mount-proc bash -c '
  hostname '\$m'; ip link set lo up; mount --bind $D/hosts /etc/hosts; mount -t tmpfs none /run; mkdir /run/munge
  exec sleep infinity' </dev/null >"$D/log/\$m.boot" 2>&1 &
u=\$!; echo \$u > $D/pids/\$m.unshare
for k in \$(seq 6000); do i=\$(pgrep -P \$u) && [ "\$(cat /proc/\$i/comm)" = sleep ] && break; sleep 0.01; done
echo \$i > $D/pids/\$m.init
X
cat > "$D/plug" <<X
#!/bin/bash
# the cable of node I into the switch, which is a bridge on head
h=\$(cat $D/pids/head.init) n=\$(cat $D/pids/n\$1.init); a() { echo 10.77.\$(( (\$1+10)/250 )).\$(( (\$1+10)%250+1 )); }
ip link add sw\$1 netns \$h type veth peer name eth0 netns \$n
nsenter -t \$h -n ip link set sw\$1 master br0 up
nsenter -t \$n -n sh -c "ip addr add \$(a \$1)/16 dev eth0; ip link set eth0 up"
X
chmod +x "$D/on" "$D/boot" "$D/plug"
"$D/boot" head; "$D/on" head sh -c 'ip link add br0 type bridge; ip addr add 10.77.0.1/16 dev br0; ip link set br0 up'
for i in $(seq 0 $L); do "$D/boot" "n$i"; "$D/plug" "$i"; done

# -- munge and Slurm: a GPU must be a character device
for i in $(seq 0 $((G-1))); do mknod "$D/dev/nvidia$i" c 1 3; chmod 666 "$D/dev/nvidia$i"; done
cat > "$D/slurm.conf" <<X
ClusterName=fake
SlurmctldHost=head(10.77.0.1)
AuthType=auth/munge
AuthInfo=socket=$D/run/munge.socket,cred_expire=5
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$D/state
SlurmdSpoolDir=$D/spool/%n
SlurmctldPidFile=$D/run/slurmctld.pid
SlurmdPidFile=$D/run/slurmd-%n.pid
SlurmctldLogFile=$D/log/slurmctld.log
SlurmdLogFile=$D/log/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=3
MessageTimeout=2
TCPTimeout=1
SlurmctldTimeout=30
KillWait=5
UnkillableStepTimeout=300
MinJobAge=3600
SchedulerParameters=sched_interval=1,bf_interval=1,requeue_setup_env_fail
$(for i in $(seq 0 $L); do echo "NodeName=n$i NodeAddr=$(addr "$i") CPUs=16 RealMemory=8000 Gres=gpu:h100:$G State=UNKNOWN"; done)
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
X
{ echo "NodeName=n[0-$((N-1))] Name=gpu Type=h100 File=$D/dev/nvidia[0-$((G-1))]"
  [ $X = 0 ] || echo "NodeName=n$L Name=gpu Type=h100 File=$D/dev/nvidia[0-$((G-2))]"; } > "$D/gres.conf"
echo "CgroupPlugin=cgroup/v1" > "$D/cgroup.conf"
runuser -u munge -- /usr/sbin/munged -M --socket="$D/run/munge.socket" --pid-file="$D/run/munged.pid" --log-file="$D/run/munged.log" --seed-file="$D/run/munged.seed"
for k in $(seq 3000); do [ -s "$D/run/munged.pid" ] && break; sleep 0.02; done; cp "$D/run/munged.pid" "$D/pids/munged"
"$D/on" head slurmctld -i
for i in $(seq 0 $L); do mkdir -p "$D/spool/n$i"; "$D/on" "n$i" slurmd; done
for k in $(seq 1200); do [ "$("$D/on" head sinfo -h -t idle -o %D 2>/dev/null)" = "$N" ] && break; sleep 0.05; done

# -- sshd
ssh-keygen -q -t ed25519 -N '' -f "$D/ssh/id"; ssh-keygen -q -t ed25519 -N '' -f "$D/ssh/host"
cp "$D/ssh/id.pub" "$D/ssh/authorized_keys"; chmod 700 "$D/ssh"
printf 'HostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nPermitRootLogin prohibit-password\nUsePAM no\nPasswordAuthentication no\nPidFile none\n' "$D/ssh/host" "$D/ssh/authorized_keys" > "$D/ssh/sshd_config"
printf 'Host n* head 10.78.*\n  User root\n  IdentityFile %s\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n  ControlMaster no\n' "$D/ssh/id" > "$D/ssh/config"
for m in head $(seq -f n%g 0 $L); do "$D/on" "$m" sh -c "mkdir -p /run/sshd; /usr/sbin/sshd -f $D/ssh/sshd_config"; done
"$D/on" head sinfo -h -t idle -o '%D %T'
