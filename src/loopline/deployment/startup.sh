# Whatever happens below, the machine is gone afterwards.
delete_me() {
  token=$(curl --silent --header 'Metadata-Flavor: Google' \
    http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token |
    sed 's/.*"access_token":"\([^"]*\)".*/\1/')
  curl --silent --request DELETE --header "Authorization: Bearer $token" "$MACHINE_URL"
}
trap delete_me EXIT
export HOME=/home/loopline
mkdir -p "$HOME/workspace"
chown -R 10001:10001 "$HOME"
docker-credential-gcr configure-docker --registries="$REGISTRY"
cards=()
if [ "$HAS_CARD" = yes ]; then
  cos-extensions install gpu
  mount --bind /var/lib/nvidia /var/lib/nvidia
  mount -o remount,exec /var/lib/nvidia
  cards=(--volume /var/lib/nvidia/lib64:/usr/local/nvidia/lib64
    --device /dev/nvidia0 --device /dev/nvidiactl --device /dev/nvidia-uvm)
fi
# What it says goes to the serial port, which needs no agent to be read.
docker run --rm --name loopline --stop-timeout 25 --shm-size 2g "${cards[@]}" \
  --volume "$HOME/workspace:/workspace" --entrypoint loopline "$IMAGE" "${WORDS[@]}" 2>&1 |
  sed --unbuffered 's/^/loopline: /' | tee /dev/ttyS0
