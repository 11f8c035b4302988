// Sends one event until it is taken: go run send.go URL. The standard library is enough.
// CLOUDSCALE_KEY is the API key, where one is needed.
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

const attempts = 8

var client = &http.Client{Timeout: 10 * time.Second}

func comesBack(status int) bool {
	switch status {
	case 408, 429, 500, 502, 503, 504:
		return true
	}
	return false
}

// send sends an event that names itself by eventId, again where that may help, and gives the status of the last answer.
func send(url string, event map[string]any) (int, error) {
	body, err := json.Marshal(event)
	if err != nil {
		return 0, err
	}
	for attempt := 1; ; attempt++ {
		wait := min(30*time.Second, (250<<attempt)*time.Millisecond)
		request, err := http.NewRequest("POST", url+"/api/v1/events", bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		request.Header.Set("Content-Type", "application/json")
		if key := os.Getenv("CLOUDSCALE_KEY"); key != "" {
			request.Header.Set("Authorization", "Bearer "+key)
		}
		answer, err := client.Do(request)
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			// 409: an earlier attempt was taken, and only its answer was lost.
			if !comesBack(answer.StatusCode) || attempt == attempts {
				return answer.StatusCode, nil
			}
			if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
				wait = time.Duration(seconds) * time.Second
			}
		} else if attempt == attempts {
			return 0, err
		}
		time.Sleep(wait)
	}
}

func main() {
	id := make([]byte, 16)
	rand.Read(id)
	status, err := send(os.Args[1], map[string]any{
		"eventType":  "purchase",
		"eventId":    fmt.Sprintf("%x", id),
		"tenantId":   "shop",
		"userId":     "ada",
		"actionName": "purchase",
		"amount":     79.9,
		"currency":   "EUR",
	})
	fmt.Println("go:", status, err)
	if status != 200 && status != 202 && status != 409 {
		os.Exit(1)
	}
}
