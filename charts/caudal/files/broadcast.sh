# A broadcast from its first frame to a viewer. The image has no curl: bash itself speaks HTTP.
# ask METHOD PATH [TOKEN [BODY]]: the answer's body; fails when it is no 2xx
ask() {
    local answer body=${4:-} head="$1 $2 HTTP/1.0"$'\r\n'"Host: $API"$'\r\n'
    head+="Content-Type: application/json"$'\r\n'"Content-Length: ${#body}"$'\r\n'
    [ -z "${3:-}" ] || head+="Authorization: Bearer $3"$'\r\n'
    exec 3<>"/dev/tcp/$API/3000"
    printf '%s\r\n%s' "$head" "$body" >&3
    answer=$(timeout 20 cat <&3)
    exec 3>&-
    case $answer in
    HTTP/1.?" 2"*) ;;
    *) echo "$1 $2: ${answer%%$'\r'*} ${answer#*$'\r\n\r\n'}" >&2; return 1 ;;
    esac
    printf '%s' "${answer#*$'\r\n\r\n'}"
}
# field NAME: the first string of that name in the JSON that comes in
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d'"' -f4; }

# The same account in each run: its name and password follow from a key that never changes and that strangers do not have.
name=helmtest$(printf 'name %s' "$PEPPER" | sha256sum | cut -c1-12)
password=$(printf 'password %s' "$PEPPER" | sha256sum | cut -c1-32)
token=$(ask POST /api/auth/login '' "{\"login\":\"$name\",\"password\":\"$password\"}" 2>/dev/null | field accessToken) || token=
if [ -z "$token" ]; then
    token=$(ask POST /api/auth/register '' "{\"username\":\"$name\",\"email\":\"$name@example.org\",\"password\":\"$password\"}" | field accessToken)
fi
# The broadcast of a run just before is over first, or this one would go on with it.
for _ in $(seq 60); do
    ask GET /api/streams/mine "$token" >/dev/null 2>&1 || break
    sleep 1
done
key=$(ask GET /api/auth/stream-key "$token" | field streamKey)
echo "publishing as $name"

ffmpeg -hide_banner -loglevel warning -nostdin -re -f lavfi -i testsrc2=size=640x360:rate=30 -re -f lavfi -i sine=sample_rate=48000 -t 120 \
    -c:v libx264 -preset ultrafast -tune zerolatency -pix_fmt yuv420p -g 60 -b:v 800k -c:a aac -f flv "rtmp://$RTMP:1935/live/$key" &
encoder=$!
# It says good-bye, so that its broadcast ends at once.
trap 'kill "$encoder" 2>/dev/null && wait "$encoder" || true' EXIT

stream=
for _ in $(seq 60); do
    sleep 1
    kill -0 "$encoder" 2>/dev/null || { echo "the encoder was turned away: kubectl logs the ingest-router says why (this test sends no PROXY header, so it fails where rtmp.proxies covers the pods' addresses)" >&2; exit 1; }
    # None yet: 404.
    mine=$(ask GET /api/streams/mine "$token" 2>/dev/null) || continue
    case $mine in *'"isLive":true'*) stream=$(printf '%s' "$mine" | field id); break ;; esac
done
[ -n "$stream" ] || { echo "the broadcast is not live after a minute: kubectl get lst -o wide" >&2; exit 1; }
echo "live as $stream"

# The first 14 seconds of an edge's first playlists are its lead-in, not what was sent.
timeout 90 ffmpeg -hide_banner -loglevel error -nostdin -i "http://$EDGE:8000/live/$stream/master.m3u8" -t 20 -f null -
echo "played twenty seconds of it"
